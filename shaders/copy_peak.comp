#version 450
#extension GL_GOOGLE_include_directive : require
// target = source, as fast as the memory goes: the ceiling that other kernels' GB/s are compared with. A workgroup
// copies STEPS * LOCAL_SIZE consecutive vec4s. -DTEXEL: some CPU drivers load texels faster than vec4s; -DWIDE: others like 64 bits
// and cache lines touched before, also those that are to be written.
#include "shaders/common.glsl"
#include "shaders/touch.glsl"
#ifdef TEXEL
layout(binding = 1) uniform samplerBuffer source;
#define LOAD(i) texelFetch(source, int(i))
#else
layout(std430, binding = 1) readonly buffer Source { FLOAT4 source[]; };
#define LOAD(i) source[i]
#endif
layout(std430, binding = 2) buffer Target { FLOAT4 target[]; };
layout(constant_id = 1) const uint STEPS = 8;

void main() {
    uint first = gl_WorkGroupID.x * STEPS * LOCAL_SIZE;
    for (uint step = 0; step < STEPS; ++step, first += LOCAL_SIZE) {
        TOUCH(source, first, LOCAL_SIZE)
        TOUCH(target, first, LOCAL_SIZE)
        const uint i = first + gl_LocalInvocationID.x;
        target[after_touching(i)] = LOAD(i);
    }
}
