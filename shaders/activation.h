// Push constants of activation.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_ACTIVATION_H
#define VKBERT_SHADERS_ACTIVATION_H
struct ActivationPush {
    uint rows, rows_symbol;  // Extent of all tensors
    uint columns4;           // columns / 4
    uint x_pitch4, d_y_pitch4, output_pitch4;
};
#endif
