// Push constants of layernorm_backward_columns.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_LAYERNORM_BACKWARD_COLUMNS_H
#define VKBERT_SHADERS_LAYERNORM_BACKWARD_COLUMNS_H
struct LayerNormBackwardColumnsPush {
    uint rows, rows_symbol;  // T
    uint part4;              // columns of partials / 4 for each of d_gamma and d_beta: H up to a binding's alignment
    uint d_y_pitch4, x_pitch4;
};
#endif
