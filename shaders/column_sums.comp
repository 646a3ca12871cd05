#version 450
#extension GL_GOOGLE_include_directive : require
// output(strips,N) fp32: row s is the sum of the s-th of `strips` even shares of the rows of input(T,N), in order, and of
// what is there when accumulating. Long inputs go twice through this shader: into a few strips, and those into one. One
// invocation four columns of one strip; no barriers. -DTEXEL reads the input as a texel buffer, -DWIDE whole vectors of it.
#include "shaders/common.glsl"
#include "shaders/column_sums.h"
#include "shaders/blocks.glsl"

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 input_texels;
#elif !defined(WIDE)
layout(std430, binding = 1) readonly buffer Input { STORED4 input_data[]; };
#endif
#ifndef WIDE
layout(std430, binding = 2) buffer Output { float sums_elements[]; };
layout(std430, binding = 2) buffer Output4 { vec4 sums_data[]; };
#endif
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t input_address, sums_address;
#endif
    ColumnSumsPush p;
};

uint last_row;
#ifdef WIDE
// Four rows of a wide input may be more than Plan::read_slack: see blocks.glsl.
vec4 load(uint row, uint block) { return LOAD_BLOCK(input, min(row, last_row) * p.input_pitch4 + block); }
#else
vec4 load(uint row, uint block) { return LOAD_BLOCK(input, row * p.input_pitch4 + block); }
#endif

void main() {
    const uint block = gl_WorkGroupID.x * LOCAL_SIZE, strip = gl_WorkGroupID.y;
#ifndef WIDE
    const uint column4 = block + gl_LocalInvocationID.x;
    if (4 * column4 >= p.columns) return;
#endif
    const uint rows = extent(p.rows, p.rows_symbol);
    last_row = max(rows, 1) - 1;
    const uint share = (rows + p.strips - 1) / p.strips;
    uint row = min(strip * share, rows);
    const uint end = min(row + share, rows);

    vec4 sum = vec4(0);
    for (; row + 4 <= end; row += 4) sum += (load(row, block) + load(row + 1, block)) + (load(row + 2, block) + load(row + 3, block));
    for (; row < end; row++) sum += load(row, block);

    const uint to = strip * p.output_pitch4 + block;
#ifdef WIDE
    if (p.accumulate != 0u) sum += LOAD_FLOATS(sums, to);
    STORE_FLOATS(sums, to, sum)
#else
    if (4 * column4 + 4 <= p.columns) {
        if (p.accumulate != 0u) sum += sums_data[IN_BLOCK(to)];
        STORE_FLOATS(sums, to, sum)
    } else {
        const uint first = 4 * IN_BLOCK(to);
        for (uint i = 0; i < p.columns - 4 * column4; i++)
            sums_elements[first + i] = sum[i] + (p.accumulate != 0u ? sums_elements[first + i] : 0.0);
    }
#endif
}
