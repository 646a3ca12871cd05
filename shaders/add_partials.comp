#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// target(1,N) += the sum of partials(b,N) over the blocks b of block_rows rows each, in their order. One invocation one
// column; a few partials are loaded at a time so that a GPU does not wait for each.
#include "shaders/common.glsl"
#include "shaders/add_partials.h"

layout(std430, binding = 1) readonly buffer Partials { float partials[]; };
layout(std430, binding = 2) buffer Target { float target[]; };
layout(push_constant) uniform Push { AddPartialsPush p; };

const uint AT_A_TIME = 8;

void main() {
    const uint column = gl_GlobalInvocationID.x;
    if (column >= p.columns) return;
    const uint blocks = (extent(p.rows, p.rows_symbol) + p.block_rows - 1) / p.block_rows;
    float sum = 0;
    for (uint b = 0; b < blocks; b += AT_A_TIME) {
        float values[AT_A_TIME];
        [[unroll]] for (uint i = 0; i < AT_A_TIME; i++)
            values[i] = b + i < blocks ? partials[(b + i) * p.pitch + column] : 0.0;
        [[unroll]] for (uint i = 0; i < AT_A_TIME; i++) sum += values[i];
    }
    target[column] += sum;
}
