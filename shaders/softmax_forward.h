// Push constants of softmax_forward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_SOFTMAX_FORWARD_H
#define VKBERT_SHADERS_SOFTMAX_FORWARD_H
struct SoftmaxForwardPush {
    uint columns;  // C
    uint input_pitch, output_pitch;
};
#endif
