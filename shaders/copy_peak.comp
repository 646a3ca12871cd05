#version 450
#extension GL_GOOGLE_include_directive : require
// target = source, as fast as the memory goes: the ceiling that other kernels' GB/s are compared with. A workgroup
// copies STEPS * LOCAL_SIZE consecutive vec4s. -DTEXEL: CPU drivers load texels four bytes at a time faster than vec4s.
#include "shaders/common.glsl"
#ifdef TEXEL
layout(binding = 1) uniform samplerBuffer source;
#define LOAD(i) texelFetch(source, int(i))
#else
layout(std430, binding = 1) readonly buffer Source { vec4 source[]; };
#define LOAD(i) source[i]
#endif
layout(std430, binding = 2) writeonly buffer Target { vec4 target[]; };
layout(constant_id = 1) const uint STEPS = 8;

void main() {
    const uint first = gl_WorkGroupID.x * STEPS * LOCAL_SIZE + gl_LocalInvocationID.x;
    for (uint i = 0; i < STEPS; ++i) target[first + i * LOCAL_SIZE] = LOAD(first + i * LOCAL_SIZE);
}
