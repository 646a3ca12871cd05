#version 450
#extension GL_GOOGLE_include_directive : require
// output(N,T) = input(T,N)^T, with zeros from column T up to the next multiple of 4. An invocation turns four by four
// elements at a time, four columns of the input all along TRANSPOSE_ROWS4 groups of rows: what it writes to a cache line it
// writes one after the other.
#include "shaders/common.glsl"
#include "shaders/repeat.glsl"
#include "shaders/transpose.h"

layout(std430, binding = 1) readonly buffer Input { STORED4 source[]; };
layout(std430, binding = 2) writeonly buffer Output { STORED4 target[]; };
layout(push_constant) uniform Push { TransposePush p; };

#define LOAD(i) x[i] = UNPACK4(source[min(4 * row4 + i, rows - 1) * p.input_pitch4 + column4]);
#define CLEAR(i) if (4 * row4 + i >= rows) x[i] = vec4(0);
#define STORE(i) \
    if (4 * column4 + i < p.columns) \
        target[(4 * column4 + i) * p.output_pitch4 + row4] = PACK4(vec4(x[0][i], x[1][i], x[2][i], x[3][i]));

void main() {
    const uint column4 = gl_WorkGroupID.y * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (4 * column4 >= p.columns) return;
    const uint rows = extent(p.rows, p.rows_symbol);
    const uint first = gl_WorkGroupID.x * TRANSPOSE_ROWS4;
    const uint end = min(first + TRANSPOSE_ROWS4, (rows + 3) / 4);
    for (uint row4 = first; row4 < end; row4++) {
        vec4 x[4];
        REPEAT_4(LOAD)
        REPEAT_4(CLEAR)
        REPEAT_4(STORE)
    }
}
