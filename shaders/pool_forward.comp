#version 450
#extension GL_GOOGLE_include_directive : require
// output(S,H) = mean, max or first of the rows offsets[s]..offsets[s+1] of input(T,H), in fp32 and in the order of the
// rows. A sequence without rows gives zeros. One invocation four columns of one sequence.
#include "shaders/common.glsl"
#include "shaders/pool_forward.h"

layout(constant_id = 1) const uint POOLING = 0;  // ops::Pooling
const uint POOLING_MEAN = 0, POOLING_MAX = 1, POOLING_FIRST = 2;

layout(std430, binding = 1) readonly buffer Input { STORED4 source[]; };
layout(std430, binding = 2) readonly buffer Offsets { uint offsets[]; };
layout(std430, binding = 3) writeonly buffer Output { vec4 target[]; };
layout(push_constant) uniform Push { PoolForwardPush p; };

void main() {
    const uint sequence = gl_WorkGroupID.x;
    const uint column = gl_WorkGroupID.y * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint first = offsets[sequence];
    const uint end = POOLING == POOLING_FIRST ? min(offsets[sequence + 1], first + 1) : offsets[sequence + 1];
    if (column < p.columns4) {
        vec4 pooled = vec4(0);
        for (uint row = first; row < end; row++) {
            const vec4 x = UNPACK4(source[row * p.input_pitch4 + column]);
            if (row == first)
                pooled = x;
            else
                pooled = POOLING == POOLING_MEAN ? pooled + x : max(pooled, x);
        }
        if (POOLING == POOLING_MEAN) pooled /= float(max(end - first, 1u));
        target[sequence * p.output_pitch4 + column] = pooled;
    }
}
