// Push constants of layernorm_forward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_LAYERNORM_FORWARD_H
#define VKBERT_SHADERS_LAYERNORM_FORWARD_H
struct LayerNormForwardPush {
    uint rows, rows_symbol;
    uint block_rows;  // of a workgroup, on CPU drivers
    uint input_pitch4, output_pitch4;
    float epsilon;
};
#endif
