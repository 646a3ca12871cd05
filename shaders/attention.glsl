// What the attention shaders share, forward and backward. Needs common.glsl first.
//
// A head whose size is no multiple of four does not begin at a multiple of four elements. All shaders read the words of
// four elements (vec4) that cover the head; the queries are zero outside it, so that scores come out right, and what the
// output gets outside it is not stored.
#ifndef VKBERT_ATTENTION_GLSL
#define VKBERT_ATTENTION_GLSL
#include "shaders/random.glsl"

layout(constant_id = 1) const uint HEAD_SIZE = 64;      // D
layout(constant_id = 2) const uint CAUSAL = 0;          // row i sees keys up to i alone
layout(constant_id = 3) const uint KEEP_LOGSUMEXP = 0;
layout(constant_id = 4) const uint KEPT = 256;          // probabilities kept by dropout, of 256

const bool ALIGNED = HEAD_SIZE % 4 == 0;
const uint HEAD4 = ALIGNED ? HEAD_SIZE / 4 : (HEAD_SIZE + 6) / 4;  // vec4s that cover a head

const float MASKED = -1.0e30;  // score of a key that must not be seen: finite, and exp2(MASKED - any real score) is 0

struct Tile { uint row, rows, first, keys; };  // ops::AttentionTile
layout(std430, binding = 1) readonly buffer Tiles { Tile tiles[]; };
// One of the two views of the output (of the backward pass: d_qkv) is used.
layout(std430, binding = 3) writeonly buffer Output4 { STORED4 output4[]; };
#ifdef FP16
layout(std430, binding = 3) writeonly buffer Output2 { uint output2[]; };
#else
layout(std430, binding = 3) writeonly buffer Output1 { float output1[]; };
#endif
layout(std430, binding = 5) readonly buffer DropoutState { uvec4 dropout_state; };

// The first vec4 of the head, how many elements of it come before the head, and the last vec4.
struct Head { uint index, first4, skip, last4; };
Head head_of(uint index) {
    Head h;
    h.index = index;
    h.first4 = index * HEAD_SIZE / 4;
    h.skip = ALIGNED ? 0 : index * HEAD_SIZE % 4;
    h.last4 = ALIGNED ? HEAD4 - 1 : (h.skip + HEAD_SIZE + 3) / 4 - 1;
    return h;
}
// vec4 d of the head, not past its end.
uint head_word(Head h, uint d) { return h.first4 + (ALIGNED ? d : min(d, h.last4)); }

vec4 inside_head(Head h, uint d, vec4 v) {
    if (ALIGNED) return v;
    const ivec4 e = int(4 * d - h.skip) + ivec4(0, 1, 2, 3);
    return mix(vec4(0), v, bvec4(uvec4(greaterThanEqual(e, ivec4(0))) * uvec4(lessThan(e, ivec4(HEAD_SIZE)))));
}

// Stores vec4 d of the head in the row of the output whose vec4s of all heads begin at row4.
void store_output(Head h, uint row4, uint d, vec4 v) {
    if (ALIGNED) {
        output4[row4 + h.first4 + d] = PACK4(v);
        return;
    }
    const uint begin = row4 * 4 + h.index * HEAD_SIZE;
#ifdef FP16  // HEAD_SIZE is even: pairs of elements never straddle two heads
    const uint e = 4 * d - h.skip;
    if (e < HEAD_SIZE) output2[(begin + e) / 2] = packHalf2x16(v.xy);
    if (e + 2 < HEAD_SIZE) output2[(begin + e + 2) / 2] = packHalf2x16(v.zw);
#else
    for (uint c = 0; c < 4; c++) {
        const uint e = 4 * d + c - h.skip;  // wraps around before the head
        if (e < HEAD_SIZE) output1[begin + e] = v[c];
    }
#endif
}

// Keys that some row of the tile sees.
uint keys_of(Tile t) { return CAUSAL != 0u ? min(t.keys, t.row + t.rows - t.first) : t.keys; }

// Bytes of dropout for the 16 keys of a sequence that `key` is among, in one row.
uvec4 attention_dropout_bytes(Head h, uint site, uint row, uint key) {
    return dropout_bytes(dropout_state, site, row, h.index << 16 | key / 16);
}

const float LN_2 = 0.69314718055994531, LOG2_E = 1.4426950408889634;

#endif
