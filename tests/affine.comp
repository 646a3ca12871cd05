#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef ADDRESS
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#endif
// output(R,C) = scale * input(R,C) + shift, the input seen in each way a kernel can see a tensor. For tests of the
// runtime alone: one row a workgroup, C / 4 = LOCAL_SIZE.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint SHIFT = 0;  // per call
#ifdef ADDRESS
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { vec4 v[]; };
#endif
layout(push_constant) uniform Push {
#ifdef ADDRESS
    uvec2 source;
#endif
    uint rows, rows_symbol;
    float scale;
} p;
#ifdef STORAGE
layout(std430, binding = 1) readonly buffer Input { vec4 source[]; };
#define LOAD(i) source[i]
#endif
#ifdef TEXEL
layout(binding = 1) uniform samplerBuffer source;
#define LOAD(i) texelFetch(source, int(i))
#endif
#ifdef ADDRESS
#define LOAD(i) Vectors(p.source).v[i]
#endif
layout(std430, binding = 2) writeonly buffer Output { vec4 target[]; };

void main() {
    const uint i = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (gl_WorkGroupID.x < extent(p.rows, p.rows_symbol)) target[i] = p.scale * LOAD(i) + float(SHIFT);
}
