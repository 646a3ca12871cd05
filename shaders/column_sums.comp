#version 450
#extension GL_GOOGLE_include_directive : require
// output(strips,N) fp32: row s is the sum of the s-th of `strips` even shares of the rows of input(T,N), in order, and of
// what is there when accumulating. Long inputs go twice through this shader: into a few strips, and those into one. One
// invocation four columns of one strip; no barriers. -DTEXEL reads the input as a texel buffer.
#include "shaders/common.glsl"
#include "shaders/column_sums.h"
#include "shaders/texel.glsl"
#include "shaders/touch.glsl"

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 input_texels;
#define LOAD(i) FETCH4(input_texels, i)
#else
layout(std430, binding = 1) readonly buffer Input { STORED4 input_data[]; };
#define LOAD(i) UNPACK4(input_data[i])
#endif
layout(std430, binding = 2) buffer Output { float output1[]; };
layout(std430, binding = 2) buffer Output4 { vec4 output4[]; };
layout(push_constant) uniform Push { ColumnSumsPush p; };

void main() {
    const uint column4 = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint strip = gl_WorkGroupID.y;
    if (4 * column4 >= p.columns) return;
    const uint rows = extent(p.rows, p.rows_symbol);
    const uint share = (rows + p.strips - 1) / p.strips;
    uint row = min(strip * share, rows);
    const uint end = min(row + share, rows);

    const uint first4 = gl_WorkGroupID.x * LOCAL_SIZE, count4 = min(LOCAL_SIZE, (p.columns + 3) / 4 - first4);
    vec4 sum = vec4(0);
    for (; row + 4 <= end; row += 4) {
        for (uint i = 0; i < 4; i++) { TOUCH(input_data, (row + i) * p.input_pitch4 + first4, count4) }
        const uint at = row * p.input_pitch4 + column4;
        const vec4 x0 = LOAD(at), x1 = LOAD(at + p.input_pitch4), x2 = LOAD(at + 2 * p.input_pitch4),
                   x3 = LOAD(at + 3 * p.input_pitch4);
        sum += (x0 + x1) + (x2 + x3);
    }
    for (; row < end; row++) sum += LOAD(row * p.input_pitch4 + column4);

    const uint to = after_touching(strip * p.output_pitch4 + column4);
    if (4 * column4 + 4 <= p.columns) {
        if (p.accumulate != 0u) sum += output4[to];
        output4[to] = sum;
    } else {
        for (uint i = 0; i < p.columns - 4 * column4; i++)
            output1[4 * to + i] = sum[i] + (p.accumulate != 0u ? output1[4 * to + i] : 0.0);
    }
}
