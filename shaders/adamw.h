// Push constants of adamw.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_ADAMW_H
#define VKBERT_SHADERS_ADAMW_H
struct AdamWPush {
    uint elements4;              // N / 4
    float learning_rate_factor;  // of this group of parameters
    float decay_factor;          // 1: weight decay, 0: none
};
#endif
