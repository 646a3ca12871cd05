// How the attention shaders for CPU drivers read KEYS rows at a time, the same for all lanes. Needs attention.glsl and KEYS,
// a multiple of 4, first.
//   -DPOINTER  through a device address that is uniform over the workgroup: one scalar load feeds all lanes
//   otherwise  through a texel buffer: each lane of a quad fetches another row and hands it to the other three
//
//   ROWS_SOURCE(name, slot)                        declares a tensor; name_address is in the push constants with -DPOINTER
//   LOAD_WORD(name, i)                             its vec4 i
//   ROWS_AT(name, t, first, pitch4, column4)       rows [first, first + KEYS) of the tile's sequence, from column4 on
//   LOAD_FOUR(name, rows, h, four, d)              vec4 d of the head in the rows 4 * four to 4 * four + 3 of those
#ifndef VKBERT_ATTENTION_ROWS_GLSL
#define VKBERT_ATTENTION_ROWS_GLSL

struct Four { vec4 v[4]; };

#ifdef POINTER
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#ifdef FP16
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words { uvec2 at[]; };
#else
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words { vec4 at[]; };
#endif

struct Rows { uint64_t row[KEYS]; };
// Rows past the end repeat the last.
Rows rows_at(uint64_t address, Tile t, uint first, uint pitch4, uint column4) {
    Rows rows;
    [[unroll]] for (uint i = 0; i < KEYS; i++) {
        const uint word = (t.first + min(first + i, t.keys - 1)) * pitch4 + column4;
        rows.row[i] = address + uint64_t(word) * STORED4_BYTES;
    }
    return rows;
}
Four load_four(Rows rows, Head h, uint four, uint d) {
    const uint word = head_word(h, d) - h.first4;
    Four result;
    [[unroll]] for (uint i = 0; i < 4; i++) result.v[i] = UNPACK4(Words(rows.row[4 * four + i]).at[word]);
    return result;
}
#define ROWS_SOURCE(NAME, SLOT) layout(std430, binding = SLOT) readonly buffer Rows_##NAME { STORED4 NAME[]; };
#define LOAD_WORD(NAME, i) UNPACK4(NAME[i])
#define ROWS_AT(NAME, t, first, pitch4, column4) rows_at(NAME##_address, t, first, pitch4, column4)
#define LOAD_FOUR(NAME, rows, h, four, d) load_four(rows, h, four, d)

#else
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_quad : require
#include "shaders/texel.glsl"

struct Rows { uint row[KEYS / 4]; };  // of this lane of the quad
Rows rows_at(Tile t, uint first, uint pitch4, uint column4) {
    Rows rows;
    [[unroll]] for (uint i = 0; i < KEYS / 4; i++) {
        const uint row = t.first + min(first + 4 * i + gl_SubgroupInvocationID % 4, t.keys - 1);
        rows.row[i] = row * pitch4 + column4;
    }
    return rows;
}
Four of_quad(vec4 mine) {
    Four result;
    result.v[0] = subgroupQuadBroadcast(mine, 0);
    result.v[1] = subgroupQuadBroadcast(mine, 1);
    result.v[2] = subgroupQuadBroadcast(mine, 2);
    result.v[3] = subgroupQuadBroadcast(mine, 3);
    return result;
}
#define ROWS_SOURCE(NAME, SLOT) layout(binding = SLOT) uniform TEXELS4 NAME##_texels;
#define LOAD_WORD(NAME, i) FETCH4(NAME##_texels, i)
#define ROWS_AT(NAME, t, first, pitch4, column4) rows_at(t, first, pitch4, column4)
#define LOAD_FOUR(NAME, rows, h, four, d) \
    of_quad(LOAD_WORD(NAME, (rows).row[four] + head_word(h, d) - (h).first4))
#endif

#endif
