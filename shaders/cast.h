// Push constants of cast.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_CAST_H
#define VKBERT_SHADERS_CAST_H
struct CastPush {
    uint rows, rows_symbol;  // Extent of both tensors
    uint columns4;           // columns / 4
    uint input_pitch4, output_pitch4;
};
#endif
