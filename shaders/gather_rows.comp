#version 450
#extension GL_GOOGLE_include_directive : require
// output(R,H) = input[rows], or with -DSCATTER output[rows] = input(R,H). One invocation four columns of one row. -DFP16:
// both fp16; -DWIDEN: fp16 to fp32; -DNARROW: fp32 to fp16.
#include "shaders/common.glsl"
#include "shaders/gather_rows.h"
#if defined(WIDEN)
#define FROM uvec2
#define TO vec4
#define CONVERT unpack_halves
#elif defined(NARROW)
#define FROM vec4
#define TO uvec2
#define CONVERT pack_halves
#else
#define FROM STORED4
#define TO STORED4
#define CONVERT
#endif
layout(std430, binding = 1) readonly buffer Input { FROM source[]; };
layout(std430, binding = 2) readonly buffer Rows { uint rows[]; };
layout(std430, binding = 3) writeonly buffer Output { TO target[]; };
layout(push_constant) uniform Push { GatherRowsPush p; };

void main() {
    const uint row = gl_WorkGroupID.x;
    const uint column = gl_WorkGroupID.y * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (column >= p.columns4) return;
#ifdef SCATTER
    const uint from = row, to = rows[row];
#else
    const uint from = rows[row], to = row;
#endif
    target[to * p.output_pitch4 + column] = CONVERT(source[from * p.input_pitch4 + column]);
}
