// Push constants of layernorm_backward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_LAYERNORM_BACKWARD_H
#define VKBERT_SHADERS_LAYERNORM_BACKWARD_H
struct LayerNormBackwardPush {
    uint d_y_pitch4, x_pitch4, residual_pitch4, d_x_pitch4;
};
#endif
