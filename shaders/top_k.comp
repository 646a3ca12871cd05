#version 450
#extension GL_GOOGLE_include_directive : require
// The k largest values of each row of input(R,C) in descending order, equal ones by ascending index, NaN last.
//
// One workgroup a row. Invocation i holds the best element of its share, the columns i, i + LOCAL_SIZE, ...; k times the
// best of those is taken, and the share that it came from is searched again, by all, for what follows it.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/top_k.h"

layout(std430, binding = 1) readonly buffer Input { uint source[]; };  // bits of fp32
layout(std430, binding = 2) writeonly buffer Values { uint values[]; };
layout(std430, binding = 3) writeonly buffer Indices { uint indices[]; };
layout(push_constant) uniform Push { TopKPush p; };

// Unsigned integers in the order of the numbers; 0 for NaN, at least 1 for all else. -0 and +0 are equal.
uint sort_key(uint bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0u;
    if (bits == 0x80000000u) bits = 0u;
    return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

// An element: x is its key, y its column. No element: y is NONE.
const uint NONE = 0xffffffffu;

// Is a to be taken before b?
bool before(uvec2 a, uvec2 b) { return a.y != NONE && (b.y == NONE || a.x > b.x || (a.x == b.x && a.y < b.y)); }

// The first of the elements held by the invocations.
uvec2 workgroup_first(uvec2 mine) {
    const uint key = workgroup_max(mine.y == NONE ? 0u : mine.x);
    return uvec2(key, workgroup_min(mine.y != NONE && mine.x == key ? mine.y : NONE));
}

void main() {
    const uint row = gl_WorkGroupID.x * p.input_pitch;
    const uint lane = gl_LocalInvocationID.x;
    uvec2 best = uvec2(0u, NONE);  // of this invocation's share, of what has not been taken
    for (uint c = lane; c < p.columns; c += LOCAL_SIZE) {
        const uvec2 element = uvec2(sort_key(source[row + c]), c);
        if (before(element, best)) best = element;
    }
    for (uint i = 0; i < p.k; i++) {
        const uvec2 taken = workgroup_first(best);
        if (lane == 0u) {
            values[gl_WorkGroupID.x * p.values_pitch + i] = source[row + taken.y];
            indices[gl_WorkGroupID.x * p.indices_pitch + i] = taken.y;
        }
        const uint share = taken.y % LOCAL_SIZE;
        uvec2 next = uvec2(0u, NONE);
        for (uint c = share + LOCAL_SIZE * lane; c < p.columns; c += LOCAL_SIZE * LOCAL_SIZE) {
            const uvec2 element = uvec2(sort_key(source[row + c]), c);
            if (before(taken, element) && before(element, next)) next = element;
        }
        next = workgroup_first(next);
        if (lane == share) best = next;
    }
}
