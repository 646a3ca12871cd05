// Push constants of layernorm_backward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_LAYERNORM_BACKWARD_H
#define VKBERT_SHADERS_LAYERNORM_BACKWARD_H
struct LayerNormBackwardPush {
    uint rows, rows_symbol;
    uint block_rows;  // of a workgroup, on CPU drivers
    uint d_y_pitch4, x_pitch4, residual_pitch4, d_x_pitch4;
    uint part4;  // columns of partials / 4 for each of d_gamma and d_beta: H up to a binding's alignment
};
#endif
