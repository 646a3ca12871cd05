#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// target = source, as fast as the memory goes: the ceiling that other kernels' GB/s are compared with. A workgroup
// copies STEPS * LOCAL_SIZE consecutive vec4s. -DTEXEL: some CPU drivers load texels faster than vec4s; -DWIDE: others load whole
// vectors, and the caches learn better from scalar stores than from scattered ones what is written next.
#include "shaders/common.glsl"
#include "shaders/blocks.glsl"
layout(constant_id = 1) const uint STEPS = 8;

#ifdef WIDE

#extension GL_KHR_shader_subgroup_ballot : require
layout(std430, binding = 2) writeonly buffer Target { uint64_t target[]; };
layout(push_constant) uniform Push { uint64_t source; };
const uint AT_ONCE = 16;  // stretches of LOCAL_SIZE pairs of floats

void main() {
    const uint begin = gl_WorkGroupID.x * STEPS * LOCAL_SIZE * 2, end = begin + STEPS * LOCAL_SIZE * 2;
    for (uint first = begin; first < end; first += AT_ONCE * LOCAL_SIZE) {
        [[unroll]] for (uint i = 0; i < AT_ONCE; i++) {
            const uint at = first + i * LOCAL_SIZE;
            const uvec2 pair = unpack32(float_pair_of_lane(FloatPairs(source + uint64_t(at) * 8), 0));
            for (uint lane = 0; lane < LOCAL_SIZE; lane++) target[at + lane] = packUint2x32(subgroupBroadcast(pair, lane));
        }
    }
}

#else

#ifdef TEXEL
layout(binding = 1) uniform samplerBuffer source_texels;
#else
layout(std430, binding = 1) readonly buffer Source { vec4 source_data[]; };
#endif
layout(std430, binding = 2) writeonly buffer Target { vec4 target_data[]; };

void main() {
    uint first = gl_WorkGroupID.x * STEPS * LOCAL_SIZE;
    for (uint step = 0; step < STEPS; ++step, first += LOCAL_SIZE) STORE_FLOATS(target, first, LOAD_FLOATS(source, first))
}

#endif
