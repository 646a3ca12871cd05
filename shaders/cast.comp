#version 450
#extension GL_GOOGLE_include_directive : require
// output(R,C) = input(R,C), fp32 -> fp16, or fp16 -> fp32 with -DWIDEN. One invocation four elements.
#include "shaders/common.glsl"
#include "shaders/cast.h"
#ifdef WIDEN
#define FROM uvec2
#define TO vec4
#define CONVERT unpack_halves
#else
#define FROM vec4
#define TO uvec2
#define CONVERT pack_halves
#endif
layout(std430, binding = 1) readonly buffer Input { FROM source[]; };
layout(std430, binding = 2) writeonly buffer Output { TO target[]; };
layout(push_constant) uniform Push { CastPush p; };

void main() {
    const uint row = gl_WorkGroupID.y;
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (row < extent(p.rows, p.rows_symbol) && column < p.columns4)
        target[row * p.output_pitch4 + column] = CONVERT(source[row * p.input_pitch4 + column]);
}
