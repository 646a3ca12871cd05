#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Of each piece, rows that belong to one row of the table: their sum in the order of the list, added to that row where the
// piece is all there is of it, else written to partials. A second dispatch with ORDERED 0 adds the partials of each such
// row. One invocation four columns of one piece. -DTEXEL reads the source as a texel buffer, -DWIDE
// whole vectors of it and of the table.
#include "shaders/common.glsl"
#include "shaders/blocks.glsl"
#include "shaders/embedding_backward.h"

layout(constant_id = 1) const uint STEPS = 1;    // of four columns, by each invocation
layout(constant_id = 2) const uint COLUMNS4 = 1;  // H / 4
layout(constant_id = 3) const uint ORDERED = 1;  // rows of the source are listed in order; 0: they follow each other

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 source_texels;
layout(binding = 6) uniform samplerBuffer table_texels;
#elif !defined(WIDE)
layout(std430, binding = 1) readonly buffer Source { STORED4 source_data[]; };
#endif
layout(std430, binding = 2) readonly buffer Order { uint order[]; };
layout(std430, binding = 3) readonly buffer Pieces { uvec4 pieces[]; };  // EmbeddingPiece
#ifndef WIDE
layout(std430, binding = 4) buffer Table { vec4 table_data[]; };
layout(std430, binding = 5) writeonly buffer Partials { vec4 partials_data[]; };
#endif
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t source_address, table_address, partials_address;
#endif
    EmbeddingBackwardPush p;
};

// Blocks for which a CPU driver reads the list once.
#ifdef WIDE
const uint AT_ONCE = 32 / LOCAL_SIZE;
#elif defined(TEXEL)
const uint AT_ONCE = STEPS < 4 ? STEPS : 4;
#else
const uint AT_ONCE = 1;  // SwiftShader: 2.2 ms in place of 2.8 with 4 (`vkbert bench embedding-backward --rows 1024`)
#endif

const uint NONE = 0xffffffffu;

const bool EVEN = COLUMNS4 % (AT_ONCE * LOCAL_SIZE) == 0;  // no step is ever past the end of a row

uint target;  // what is added to, or written, from its first column on
uint last;    // row of the piece
bool adds;

// Row of the source, number i of the list.
uint row_of(uint i) {
#ifdef WIDE
    i = min(i, last);
#endif
    return ORDERED != 0u ? order[i] : i;
}

// CPU drivers load faster what no loop or branch stands around, hence the first row and EVEN.
#ifdef WIDE
uint table_row;  // one that is there even where none is added to
vec4 load_table(uint block) { return LOAD_FLOATS(table, table_row + block); }
vec4 load(uint row, uint block) { return LOAD_BLOCK(source, row * p.source_pitch4 + block); }
bool past_end(uint block) { return block >= COLUMNS4; }
#else
#ifdef TEXEL
vec4 load_table(uint block) { return texelFetch(table_texels, int(target + IN_BLOCK(block))); }
#else
vec4 load_table(uint block) { return table_data[target + IN_BLOCK(block)]; }
#endif
vec4 load(uint row, uint block) {
    const uint column = EVEN ? IN_BLOCK(block) : min(IN_BLOCK(block), COLUMNS4 - 1);
    const uint at = row * p.source_pitch4 + column;
#ifdef TEXEL
    return FETCH4(source_texels, at);
#else
    return UNPACK4(source_data[at]);
#endif
}
bool past_end(uint block) { return IN_BLOCK(block) >= COLUMNS4; }
#endif
void add_to_table(uint block, vec4 sum) {
    if (!EVEN && past_end(block)) return;
    const vec4 row = load_table(block) + sum;
    STORE_FLOATS(table, target + block, row)
}
void write_partial(uint block, vec4 sum) {
    if (!EVEN && past_end(block)) return;
    STORE_FLOATS(partials, target + block, sum)
}
void finish(uint block, vec4 sum) {
    if (adds)
        add_to_table(block, sum);
    else
        write_partial(block, sum);
}

#define LOAD_FIRST(at_once)                                                                             \
    vec4 sum[at_once];                                                                                  \
    [[unroll]] for (uint w = 0; w < (at_once); w++) sum[w] = load(first_of_piece, block + w * LOCAL_SIZE);
#define ADD_ROW(at_once, i)                                                                             \
    const uint next = row_of(i);                                                                        \
    [[unroll]] for (uint w = 0; w < (at_once); w++) sum[w] += load(next, block + w * LOCAL_SIZE);
#define FINISH(at_once, finish)                                                                         \
    [[unroll]] for (uint w = 0; w < (at_once); w++) finish(block + w * LOCAL_SIZE, sum[w]);

#ifdef WIDE
// Mesa 26's llvmpipe goes through a loop that tests first once more than it has turns, if for no lane, but skips a branch that no
// lane takes. Most pieces have one row: 0.24 ms in place of 0.32 (`vkbert bench embedding-backward --rows 1024`, 8 lanes).
#define SUM_ROWS(at_once, end, finish)                                                                  \
    uint block = first;                                                                                 \
    do {                                                                                                \
        LOAD_FIRST(at_once)                                                                             \
        if (piece.y > 1u) {                                                                             \
            uint i = piece.x + 1;                                                                       \
            do {                                                                                        \
                ADD_ROW(at_once, i)                                                                     \
                i++;                                                                                    \
            } while (i < piece.x + piece.y);                                                            \
        }                                                                                               \
        FINISH(at_once, finish)                                                                         \
        block += (at_once) * LOCAL_SIZE;                                                                \
    } while (block < (end));
#else
#define SUM_ROWS(at_once, end, finish)                                                                  \
    for (uint block = first; block < (end); block += (at_once) * LOCAL_SIZE) {                          \
        LOAD_FIRST(at_once)                                                                             \
        for (uint i = piece.x + 1; i < piece.x + piece.y; i++) {                                        \
            ADD_ROW(at_once, i)                                                                         \
        }                                                                                               \
        FINISH(at_once, finish)                                                                         \
    }
#endif

void main() {
    const uvec4 piece = pieces[gl_WorkGroupID.x];
    adds = piece.w == NONE;
    const uint row = piece.z - p.first_row;
    if (adds ? row >= p.table_rows : p.partials == 0u) return;
    last = piece.x + piece.y - 1;
    target = adds ? row * p.table_pitch4 : piece.w * COLUMNS4;
#ifdef WIDE
    table_row = adds ? min(row, p.table_rows - 1) * p.table_pitch4 : 0;
#endif
    const uint first_of_piece = row_of(piece.x);
    const uint first = gl_WorkGroupID.y * LOCAL_SIZE * STEPS, end = min(COLUMNS4, first + LOCAL_SIZE * STEPS);
#ifdef TEXEL
    // Mesa 22.3 executes both sides of a branch, if for no lane, but a loop that no lane enters only once: of partials, which are
    // few, a short one. 10% of the time.
    SUM_ROWS(AT_ONCE, adds ? end : first, add_to_table)
    SUM_ROWS(1, adds ? first : end, write_partial)
#else
    SUM_ROWS(AT_ONCE, end, finish)
#endif
}
