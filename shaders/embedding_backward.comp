#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Of each piece, rows that belong to one row of the table: their sum in the order of the list, added to that row where the
// piece is all there is of it, else written to partials. A second dispatch with ORDERED 0 adds the partials of each such
// row. One invocation four columns of one piece. -DTEXEL reads the source as a texel buffer.
#include "shaders/common.glsl"
#include "shaders/texel.glsl"
#include "shaders/touch.glsl"
#include "shaders/embedding_backward.h"

layout(constant_id = 1) const uint STEPS = 1;    // of four columns, by each invocation
layout(constant_id = 2) const uint COLUMNS4 = 1;  // H / 4
layout(constant_id = 3) const uint ORDERED = 1;  // rows of the source are listed in order; 0: they follow each other

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 source_texels;
#define LOAD(i) FETCH4(source_texels, i)
#else
layout(std430, binding = 1) readonly buffer Source { STORED4 source[]; };
#define LOAD(i) UNPACK4(source[i])
#endif
layout(std430, binding = 2) readonly buffer Order { uint order[]; };
layout(std430, binding = 3) readonly buffer Pieces { uvec4 pieces[]; };  // EmbeddingPiece
layout(std430, binding = 4) buffer Table { FLOAT4 table[]; };
layout(std430, binding = 5) writeonly buffer Partials { FLOAT4 partials[]; };
layout(push_constant) uniform Push { EmbeddingBackwardPush p; };

const uint AT_ONCE = STEPS < 4 ? STEPS : 4;  // a CPU driver reads the list once for as many

const uint NONE = 0xffffffffu;

const bool EVEN = COLUMNS4 % (AT_ONCE * LOCAL_SIZE) == 0;  // no step is ever past the end of a row

uint target;  // what is added to, or written, from its first column on
bool adds;

// CPU drivers load faster what no loop or branch stands around, hence the first row and EVEN.
vec4 load(uint i, uint column) {
    return LOAD((ORDERED != 0u ? order[i] : i) * p.source_pitch4 + (EVEN ? column : min(column, COLUMNS4 - 1)));
}
void finish(uint column, vec4 sum) {
    if (!EVEN && column >= COLUMNS4) return;
    if (adds)
        table[target + column] = PACK_FLOAT4(UNPACK_FLOAT4(table[target + column]) + sum);
    else
        partials[target + column] = PACK_FLOAT4(sum);
}

void main() {
    const uvec4 piece = pieces[gl_WorkGroupID.x];
    adds = piece.w == NONE;
    const uint row = piece.z - p.first_row;
    if (adds ? row >= p.table_rows : p.partials == 0u) return;
    target = adds ? row * p.table_pitch4 : piece.w * COLUMNS4;
    const uint first = gl_WorkGroupID.y * LOCAL_SIZE * STEPS, end = min(COLUMNS4, first + LOCAL_SIZE * STEPS);
    for (uint base = first; base < end; base += AT_ONCE * LOCAL_SIZE) {
        const uint column = base + gl_LocalInvocationID.x;
        const uint count = EVEN ? AT_ONCE * LOCAL_SIZE : min(AT_ONCE * LOCAL_SIZE, end - base);
        TOUCH(source, (ORDERED != 0u ? order[piece.x] : piece.x) * p.source_pitch4 + base, count)
        if (adds) { TOUCH(table, target + base, count) }
        target = after_touching(target);
        vec4 sum[AT_ONCE];
        [[unroll]] for (uint w = 0; w < AT_ONCE; w++) sum[w] = load(piece.x, column + w * LOCAL_SIZE);
        for (uint i = piece.x + 1; i < piece.x + piece.y; i++)
            [[unroll]] for (uint w = 0; w < AT_ONCE; w++) sum[w] += load(i, column + w * LOCAL_SIZE);
        [[unroll]] for (uint w = 0; w < AT_ONCE; w++) finish(column + w * LOCAL_SIZE, sum[w]);
    }
}
