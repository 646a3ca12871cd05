#version 450
#extension GL_GOOGLE_include_directive : require
// Of each piece, rows that belong to one row of the table: their sum in the order of the list, added to that row where the
// piece is all there is of it, else written to partials. A second dispatch with ORDERED 0 adds the partials of each such
// row. One invocation four columns of one piece.
#include "shaders/common.glsl"
#include "shaders/embedding_backward.h"

layout(constant_id = 1) const uint ORDERED = 1;  // rows of the source are listed in order; 0: they follow each other

layout(std430, binding = 1) readonly buffer Source { STORED4 source[]; };
layout(std430, binding = 2) readonly buffer Order { uint order[]; };
layout(std430, binding = 3) readonly buffer Pieces { uvec4 pieces[]; };  // EmbeddingPiece
layout(std430, binding = 4) buffer Table { vec4 table[]; };
layout(std430, binding = 5) writeonly buffer Partials { vec4 partials[]; };
layout(push_constant) uniform Push { EmbeddingBackwardPush p; };

const uint NONE = 0xffffffffu;

void main() {
    const uvec4 piece = pieces[gl_WorkGroupID.x];
    const uint column = gl_WorkGroupID.y * LOCAL_SIZE + gl_LocalInvocationID.x;
    const bool whole = piece.w == NONE;
    const uint row = piece.z - p.first_row;
    if (column >= p.columns4 || (whole ? row >= p.table_rows : p.partials == 0u)) return;
    vec4 sum = vec4(0);
    for (uint i = piece.x; i < piece.x + piece.y; i++)
        sum += UNPACK4(source[(ORDERED != 0u ? order[i] : i) * p.source_pitch4 + column]);
    if (whole)
        table[row * p.table_pitch4 + column] += sum;
    else
        partials[piece.w * p.columns4 + column] = sum;
}
