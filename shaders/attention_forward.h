// Push constants of the attention_forward shaders, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_ATTENTION_FORWARD_H
#define VKBERT_SHADERS_ATTENTION_FORWARD_H
struct AttentionForwardPush {
    uint hidden4;                 // H / 4
    uint qkv_pitch4;              // of the rows that hold queries, keys and values
    uint output_pitch4;
    uint heads;
    uint dropout_site;
    float scale;                  // log2(e) / sqrt(D): scores are kept in powers of two
};
#endif
