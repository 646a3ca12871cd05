#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// output(T,H) = mask * 256 / KEPT * input + residual. One invocation 16 columns of one row: what one Philox call decides.
#include "shaders/common.glsl"
#include "shaders/random.glsl"
#include "shaders/dropout.h"
layout(constant_id = 1) const uint KEPT = 256;  // of 256; all of them: a copy
layout(constant_id = 2) const uint RESIDUAL = 0;
layout(std430, binding = 1) readonly buffer Input { STORED4 source[]; };
layout(std430, binding = 2) readonly buffer Residual { STORED4 residual[]; };
layout(std430, binding = 3) readonly buffer State { uvec4 state; };
layout(std430, binding = 4) writeonly buffer Output { STORED4 target[]; };
layout(push_constant) uniform Push { DropoutPush p; };

void main() {
    const uint blocks = (p.columns4 + 3) / 4;
    const uint i = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint row = i / blocks, block = i % blocks;
    if (row >= extent(p.rows, p.rows_symbol)) return;
    uvec4 bytes = uvec4(0);
    if (KEPT < 256u) bytes = dropout_bytes(state, p.site, row, block);
    [[unroll]] for (uint word = 0; word < 4; word++) {
        const uint column = 4 * block + word;
        if (column >= p.columns4) break;
        vec4 v = UNPACK4(source[row * p.input_pitch4 + column]);
        if (KEPT < 256u) v *= dropout_factors(bytes[word], KEPT);
        if (RESIDUAL != 0u) v += UNPACK4(residual[row * p.residual_pitch4 + column]);
        target[row * p.output_pitch4 + column] = PACK4(v);
    }
}
