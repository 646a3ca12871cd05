#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Of each piece, rows that belong to one row of the table: their sum in the order of the list, added to that row where the
// piece is all there is of it, else written to partials. A second dispatch with ORDERED 0 adds the partials of each such
// row. One invocation four columns of one piece. -DTEXEL reads the source as a texel buffer.
#include "shaders/common.glsl"
#include "shaders/texel.glsl"
#include "shaders/embedding_backward.h"

layout(constant_id = 1) const uint STEPS = 1;    // of four columns, by each invocation
layout(constant_id = 2) const uint ORDERED = 1;  // rows of the source are listed in order; 0: they follow each other

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 source_texels;
#define LOAD(i) FETCH4(source_texels, i)
#else
layout(std430, binding = 1) readonly buffer Source { STORED4 source[]; };
#define LOAD(i) UNPACK4(source[i])
#endif
layout(std430, binding = 2) readonly buffer Order { uint order[]; };
layout(std430, binding = 3) readonly buffer Pieces { uvec4 pieces[]; };  // EmbeddingPiece
layout(std430, binding = 4) buffer Table { vec4 table[]; };
layout(std430, binding = 5) writeonly buffer Partials { vec4 partials[]; };
layout(push_constant) uniform Push { EmbeddingBackwardPush p; };

const uint WIDE = STEPS < 4 ? STEPS : 4;  // a CPU driver reads the list once for as many

const uint NONE = 0xffffffffu;

void main() {
    const uvec4 piece = pieces[gl_WorkGroupID.x];
    const bool whole = piece.w == NONE;
    const uint row = piece.z - p.first_row;
    if (whole ? row >= p.table_rows : p.partials == 0u) return;
    const uint first = gl_WorkGroupID.y * LOCAL_SIZE * STEPS + gl_LocalInvocationID.x;
    const uint end = min(p.columns4, first + LOCAL_SIZE * STEPS);
    for (uint column = first; column < end; column += WIDE * LOCAL_SIZE) {
        vec4 sum[WIDE];
        [[unroll]] for (uint w = 0; w < WIDE; w++) sum[w] = vec4(0);
        for (uint i = piece.x; i < piece.x + piece.y; i++) {
            const uint at = (ORDERED != 0u ? order[i] : i) * p.source_pitch4;
            [[unroll]] for (uint w = 0; w < WIDE; w++) sum[w] += LOAD(at + min(column + w * LOCAL_SIZE, p.columns4 - 1));
        }
        [[unroll]] for (uint w = 0; w < WIDE; w++) {
            const uint mine = column + w * LOCAL_SIZE;
            if (mine >= end) break;
            if (whole)
                table[row * p.table_pitch4 + mine] += sum[w];
            else
                partials[piece.w * p.columns4 + mine] = sum[w];
        }
    }
}
