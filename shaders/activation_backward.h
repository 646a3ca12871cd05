// Push constants of activation_backward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_ACTIVATION_BACKWARD_H
#define VKBERT_SHADERS_ACTIVATION_BACKWARD_H
struct ActivationBackwardPush {
    uint rows, rows_symbol;  // Extent of all tensors
    uint columns4;           // columns / 4
    uint x_pitch4, d_y_pitch4, d_x_pitch4;
};
#endif
