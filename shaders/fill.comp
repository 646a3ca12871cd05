#version 450
#extension GL_GOOGLE_include_directive : require
// Every 32-bit word of each row of the output is the word given. One invocation a word, or four.
#include "shaders/common.glsl"
#include "shaders/fill.h"

layout(constant_id = 1) const bool WIDE = false;  // four words an invocation

layout(std430, binding = 1) writeonly buffer Output { uint words[]; };
layout(std430, binding = 1) writeonly buffer Output4 { uvec4 words4[]; };
layout(push_constant) uniform Push { FillPush p; };

void main() {
    const uint row = gl_WorkGroupID.y;
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (row >= extent(p.rows, p.rows_symbol) || column >= p.columns) return;
    if (WIDE) words4[row * p.pitch + column] = uvec4(p.word);
    else words[row * p.pitch + column] = p.word;
}
