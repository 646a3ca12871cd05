// Push constants of dropout.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_DROPOUT_H
#define VKBERT_SHADERS_DROPOUT_H
struct DropoutPush {
    uint rows, rows_symbol;  // Extent of all tensors
    uint columns4;           // columns / 4
    uint input_pitch4, output_pitch4, residual_pitch4;
    uint site;
};
#endif
