// Push constants and sizes of transpose.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_TRANSPOSE_H
#define VKBERT_SHADERS_TRANSPOSE_H
struct TransposePush {
    uint rows, rows_symbol;  // Extent of the input
    uint columns;            // of the input
    uint input_pitch4, output_pitch4;
};

const uint TRANSPOSE_ROWS4 = 16;  // groups of four rows of the input an invocation
#endif
