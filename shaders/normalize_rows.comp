#version 450
#extension GL_GOOGLE_include_directive : require
// output row = input row / max(|input row|, 1e-12). One workgroup a row; may work in place.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/normalize_rows.h"

layout(std430, binding = 1) readonly buffer Input { vec4 source[]; };
layout(std430, binding = 2) writeonly buffer Output { vec4 target[]; };
layout(push_constant) uniform Push { NormalizeRowsPush p; };

void main() {
    const uint row = gl_WorkGroupID.x;
    float squares = 0;
    for (uint c = gl_LocalInvocationID.x; c < p.columns4; c += LOCAL_SIZE) {
        const vec4 x = source[row * p.input_pitch4 + c];
        squares += dot(x, x);
    }
    const float scale = 1.0 / max(sqrt(workgroup_add(squares)), 1e-12);
    for (uint c = gl_LocalInvocationID.x; c < p.columns4; c += LOCAL_SIZE)
        target[row * p.output_pitch4 + c] = source[row * p.input_pitch4 + c] * scale;
}
