// Push constants of layernorm_backward_columns.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_LAYERNORM_BACKWARD_COLUMNS_H
#define VKBERT_SHADERS_LAYERNORM_BACKWARD_COLUMNS_H
struct LayerNormBackwardColumnsPush {
    uint rows, rows_symbol;  // T
    uint columns4;           // H / 4
    uint part4;              // columns of partials / 4 for each of d_gamma and d_beta: H up to a binding's alignment
    uint block_rows;         // a multiple of 4
    uint d_y_pitch4, x_pitch4;
};
#endif
