// What the attention_backward shaders share. Needs attention.glsl first.
//
// With P = exp(Q K^T / sqrt(D) - logsumexp), Z the factors of dropout and delta = rowsum(dO * O):
//     dV = (P Z)^T dO,   dS = P * (Z * dO V^T - delta),   dQ = dS K / sqrt(D),   dK = dS^T Q / sqrt(D).
// (Dao 2023, FlashAttention-2, algorithm 2, in two passes that need no atomics.) One text for both passes: a workgroup has
// a tile of its own rows, queries or keys, and goes through the other rows of the sequence. A row is two vectors: `qk` is
// the query or the key; `vg` what belongs to it, the gradient of the output of a query or the value of a key. The pass of
// the queries comes first: it writes delta, and the pass of the keys reads it.
#ifndef VKBERT_ATTENTION_BACKWARD_GLSL
#define VKBERT_ATTENTION_BACKWARD_GLSL
#include "shaders/attention_backward.h"

layout(constant_id = 5) const uint OF_KEYS = 0;  // own rows: 1 keys, 0 queries
layout(std430, binding = 4) readonly buffer LogSumExp { float logsumexp[]; };  // (T,A)
layout(std430, binding = 7) buffer Delta { float delta[]; };                   // (T,A)
layout(std430, binding = 8) readonly buffer Output { STORED4 forward_output[]; };

// Other rows, counted within the sequence, that a tile meets. A tile's first row is a multiple of 16 in its sequence.
uint first_other(Tile t) { return CAUSAL != 0u && OF_KEYS != 0u ? t.row - t.first : 0; }
uint end_other(Tile t) { return OF_KEYS != 0u ? t.keys : keys_of(t); }
// Whether own row `own` and other row `other`, both counted within the sequence, see one another.
bool meet(Tile t, uint own, uint other) {
    const bool seen = CAUSAL == 0u || (OF_KEYS != 0u ? other >= own : other <= own);
    return other < t.keys && seen;
}

// P Z and dS of one query and one key, from the score in powers of two and dO V^T.
struct Weights { float dropped, d_score; };
Weights weigh(bool seen, float score, float d_weight, float row_logsumexp, float row_delta, float factor) {
    const float weight = seen ? exp2(score - row_logsumexp * LOG2_E) : 0;
    Weights w;
    w.dropped = weight * factor;
    w.d_score = w.dropped * d_weight - weight * row_delta;
    return w;
}

// Factor of the byte of dropout of a key that is i-th, i < 16, of those that `bytes` are for.
float byte_factor(uvec4 bytes, uint i) {
    const uint low = i < 4 ? bytes.x : bytes.y, high = i < 12 ? bytes.z : bytes.w;
    return dropout_factors((i < 8 ? low : high) >> 8 * (i % 4), KEPT).x;
}

#endif
