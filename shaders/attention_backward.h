// Push constants of the attention_backward shaders, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_ATTENTION_BACKWARD_H
#define VKBERT_SHADERS_ATTENTION_BACKWARD_H
struct AttentionBackwardPush {
    uint hidden4;                 // H / 4
    uint qkv_pitch4;              // of the rows that hold queries, keys and values
    uint d_output_pitch4, d_qkv_pitch4;
    uint output_pitch4;           // of the output of the forward pass
    uint heads;
    uint dropout_site;
    float scale;                  // log2(e) / sqrt(D): scores are kept in powers of two
};
#endif
