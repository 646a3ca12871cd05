// Push constants of pool_forward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_POOL_FORWARD_H
#define VKBERT_SHADERS_POOL_FORWARD_H
struct PoolForwardPush {
    uint columns4;  // H / 4
    uint input_pitch4, output_pitch4;
};
#endif
