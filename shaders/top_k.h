// Push constants of top_k.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_TOP_K_H
#define VKBERT_SHADERS_TOP_K_H
struct TopKPush {
    uint columns, k;
    uint input_pitch, values_pitch, indices_pitch;
};
#endif
