#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
// output(T,H) = softmax(Q K^T / sqrt(D)) V per head over packed sequences on matrix cores: fp16 operands, fp32 sums.
//
// Queries and outputs of a subgroup's rows stay in matrices to the end (Dao 2023, FlashAttention-2, section 3.3); blocks of
// KEYS keys and values stream through shared memory, the next on their way in registers meanwhile. Weights are powers of two
// beside a reference of their row. fp16 has room for weights from far below to far above 1: the reference need not be the
// largest score, only not far below it, so that after the first block it rarely rises and outputs are rarely rescaled.
#define FP16
#include "shaders/common.glsl"
layout(constant_id = 5) const uint KEYS = 32;  // of a block: a multiple of 16 * LANES
layout(constant_id = 6) const uint OWN = 16;   // query rows a subgroup
layout(constant_id = 7) const uint SUBGROUPS = 4;
layout(constant_id = 8) const uint MM = 16;
layout(constant_id = 9) const uint MN = 16;
layout(constant_id = 10) const uint MK = 16;
#include "shaders/attention.glsl"
#include "shaders/attention_forward.glsl"
#include "shaders/attention_matrix.glsl"

const float HIGHEST = 15, USUAL = 8;  // logarithms of the largest weight: at most, and when the reference is set

const uint CHUNK = KEYS / LANES, CHUNK4 = CHUNK / 4;                // keys of a row that one invocation weighs
const uint SCORE_STRIDE = KEYS / 4 + 1, WEIGHT_STRIDE = KEYS / 4 + 2;
const uint SCORES = MN < 16 ? MN : KEYS, WEIGHTS = MN < 16 ? MK : KEYS;  // keys at a time: llvmpipe compiles for ever else
const uint PIECES = KEYS * HEAD4 / LOCAL_SIZE;                      // of a block of keys that one invocation copies

layout(std430, binding = 2) readonly buffer Qkv { uvec2 qkv[]; };
layout(push_constant) uniform Push { AttentionForwardPush p; };

shared uvec2 rows[(2 * KEYS > ROWS ? 2 * KEYS : ROWS) * STRIDE];  // keys, then values; before them all queries
shared vec4 scores[ROWS * SCORE_STRIDE];                          // also factors of rows
shared uvec2 weights[ROWS * WEIGHT_STRIDE];

uvec2 next[2 * PIECES];

void fetch(Tile t, Head h, uint first) {
    [[unroll]] for (uint i = 0; i < PIECES; i++) {
        const uint piece = i * LOCAL_SIZE + gl_LocalInvocationID.x;
        const uint row = t.first + min(first + piece / HEAD4, t.keys - 1);  // beyond the end the last, with no weight
        const uint key = row * p.qkv_pitch4 + p.hidden4 + head_word(h, piece % HEAD4);
        next[i] = qkv[key];
        next[PIECES + i] = qkv[key + p.hidden4];
    }
}
void place() {
    [[unroll]] for (uint i = 0; i < PIECES; i++) {
        const uint piece = i * LOCAL_SIZE + gl_LocalInvocationID.x;
        const uint at = piece / HEAD4 * STRIDE + piece % HEAD4;
        rows[at] = next[i];
        rows[KEYS * STRIDE + at] = next[PIECES + i];
    }
}
void place_queries(Tile t, Head h) {
    for (uint i = gl_LocalInvocationID.x; i < ROWS * HEAD4; i += LOCAL_SIZE)
        rows[i / HEAD4 * STRIDE + i % HEAD4] =
            qkv[(t.row + min(i / HEAD4, t.rows - 1)) * p.qkv_pitch4 + head_word(h, i % HEAD4)];
}

// A row of the workgroup, as the LANES invocations that serve it see it: its place in the packed tokens and in the shared
// arrays, how many keys it sees, the reference of its weights and the sum of those of this invocation.
struct Row {
    uint packed, index, chunk, seen;
    float reference, sum;
};
Row row_of(Tile t, uint index, uint chunk) {
    const uint row = min(index, t.rows - 1);
    return Row(t.row + row, index, chunk, CAUSAL != 0u ? min(t.keys, t.row + row - t.first + 1) : t.keys, MASKED, 0);
}
float largest_of_row(float x) {
    [[unroll]] for (uint i = 1; i < LANES; i *= 2) x = max(x, subgroupShuffleXor(x, i));
    return x;
}
float sum_of_row(float x) {
    [[unroll]] for (uint i = 1; i < LANES; i *= 2) x += subgroupShuffleXor(x, i);
    return x;
}
// Makes all elements of the row of a matrix that is loaded from its scores the factor.
void write_factor(Row r, float factor) {
    if (r.chunk == 0)
        [[unroll]] for (uint i = 0; i < MN / 4; i++) scores[r.index * SCORE_STRIDE + i] = vec4(factor);
}

// Makes weights of the scores of keys [first, first + KEYS); whether some reference of the subgroup has risen, and the
// factors are in place of the scores.
bool weigh(Head h, inout Row r, uint first) {
    vec4 s[CHUNK4];
    float largest = MASKED;
    [[unroll]] for (uint i = 0; i < CHUNK4; i++) {
        const uint key = first + r.chunk * CHUNK + 4 * i;
        s[i] = scores[r.index * SCORE_STRIDE + r.chunk * CHUNK4 + i] * p.scale;
        s[i] = mix(vec4(MASKED), s[i], lessThan(uvec4(key) + uvec4(0, 1, 2, 3), uvec4(r.seen)));
        largest = max(max(largest, max(s[i].x, s[i].y)), max(s[i].z, s[i].w));
    }
    largest = largest_of_row(largest);
    const bool rises = subgroupMax(largest - r.reference) > HIGHEST;
    if (rises) {
        const float reference = max(r.reference, largest - USUAL), factor = exp2(r.reference - reference);
        write_factor(r, factor);
        r.sum *= factor;
        r.reference = reference;
    }
    uvec4 bytes;
    [[unroll]] for (uint i = 0; i < CHUNK4; i++) {
        vec4 weight = exp2(s[i] - r.reference);
        r.sum += dot(weight, vec4(1));
        if (KEPT < 256u) {
            if (i % 4 == 0)
                bytes = attention_dropout_bytes(h, p.dropout_site, r.packed, first + r.chunk * CHUNK + 4 * i);
            weight = mix(vec4(0), weight, dropout_keeps(bytes[i % 4], KEPT));
        }
        weights[r.index * WEIGHT_STRIDE + r.chunk * CHUNK4 + i] = pack_halves(weight);
    }
    return rises;
}

// What the sums of the row are multiplied by, in place of its scores; and its logsumexp.
void finish_row(Tile t, Head h, Row r) {
    const float total = sum_of_row(r.sum);
    if (KEEP_LOGSUMEXP != 0u && r.chunk == 0 && r.index < t.rows)
        logsumexp[r.packed * p.heads + h.index] = natural_logsumexp(r.reference, total);
    fence();
    write_factor(r, 256.0 / float(KEPT) / total);
    fence();
}
// Stores MN columns of the subgroup's rows, from vec4 `column4` of the head on, from where its scores were.
void store_columns(Tile t, Head h, uint own, uint column4) {
    for (uint at = gl_SubgroupInvocationID; at < OWN * MN / 4; at += gl_SubgroupSize) {
        const uint row = own + at / (MN / 4), i = at % (MN / 4);
        if (row < t.rows)
            store_output(h, (t.row + row) * p.output_pitch4, column4 + i, scores[row * SCORE_STRIDE + i]);
    }
}

void main() {
    Tile t = tiles[gl_WorkGroupID.x];
    if (!first_of_group(t)) return;
    const Head h = head_of(gl_WorkGroupID.y);
    const uint own = gl_SubgroupID * OWN;
    Row r = row_of(t, own + gl_SubgroupInvocationID / LANES, gl_SubgroupInvocationID % LANES);
    const uint keys = keys_of(t);
    const uint seen = own >= t.rows ? 0 : CAUSAL != 0u ? min(keys, t.row - t.first + own + OWN) : keys;  // by the subgroup
    fetch(t, h, 0);
    place_queries(t, h);
    barrier();
    OPERAND_A q[BLOCKS * DEPTHS];
    [[unroll]] for (uint i = 0; i < BLOCKS * DEPTHS; i++)
        coopMatLoad(q[i], rows, (own + i / DEPTHS * MM) * STRIDE + i % DEPTHS * (MK / 4), STRIDE, ROW_MAJOR);
    SUMS o[BLOCKS * WIDTHS], factor[BLOCKS];
    [[unroll]] for (uint i = 0; i < BLOCKS * WIDTHS; i++) o[i] = SUMS(0.0);

    for (uint first = 0; first < keys; first += KEYS) {
        const bool meets = first < seen;
        barrier();
        place();
        barrier();
        if (first + KEYS < keys) fetch(t, h, first + KEYS);
        if (meets)
            [[dont_unroll]] for (uint keys4 = 0; keys4 < KEYS; keys4 += SCORES)
            [[unroll]] for (uint k = keys4; k < keys4 + SCORES; k += MN) {
                SUMS s[BLOCKS];
                [[unroll]] for (uint i = 0; i < BLOCKS; i++) s[i] = SUMS(0.0);
                [[unroll]] for (uint d = 0; d < DEPTHS; d++) {
                    OPERAND_B key;
                    coopMatLoad(key, rows, k * STRIDE + d * (MK / 4), STRIDE, COLUMN_MAJOR);
                    [[unroll]] for (uint i = 0; i < BLOCKS; i++) s[i] = coopMatMulAdd(q[i * DEPTHS + d], key, s[i]);
                }
                [[unroll]] for (uint i = 0; i < BLOCKS; i++)
                    coopMatStore(s[i], scores, (own + i * MM) * SCORE_STRIDE + k / 4, SCORE_STRIDE, ROW_MAJOR);
            }
        fence();
        const bool rises = meets && weigh(h, r, first);
        fence();
        if (rises)
            [[unroll]] for (uint i = 0; i < BLOCKS; i++) {
                coopMatLoad(factor[i], scores, (own + i * MM) * SCORE_STRIDE, SCORE_STRIDE, ROW_MAJOR);
                [[unroll]] for (uint j = 0; j < WIDTHS; j++) o[i * WIDTHS + j] *= factor[i];
            }
        if (meets)
            [[dont_unroll]] for (uint keys4 = 0; keys4 < KEYS; keys4 += WEIGHTS)
            [[unroll]] for (uint k = keys4; k < keys4 + WEIGHTS; k += MK) {
                OPERAND_A w[BLOCKS];
                [[unroll]] for (uint i = 0; i < BLOCKS; i++)
                    coopMatLoad(w[i], weights, (own + i * MM) * WEIGHT_STRIDE + k / 4, WEIGHT_STRIDE, ROW_MAJOR);
                [[unroll]] for (uint j = 0; j < WIDTHS; j++) {
                    OPERAND_B value;
                    coopMatLoad(value, rows, (KEYS + k) * STRIDE + j * (MN / 4), STRIDE, ROW_MAJOR);
                    [[unroll]] for (uint i = 0; i < BLOCKS; i++)
                        o[i * WIDTHS + j] = coopMatMulAdd(w[i], value, o[i * WIDTHS + j]);
                }
            }
    }
    finish_row(t, h, r);
    [[unroll]] for (uint i = 0; i < BLOCKS; i++)
        coopMatLoad(factor[i], scores, (own + i * MM) * SCORE_STRIDE, SCORE_STRIDE, ROW_MAJOR);
    [[unroll]] for (uint j = 0; j < WIDTHS; j++) {
        fence();
        [[unroll]] for (uint i = 0; i < BLOCKS; i++)
            coopMatStore(o[i * WIDTHS + j] * factor[i], scores, (own + i * MM) * SCORE_STRIDE, SCORE_STRIDE, ROW_MAJOR);
        fence();
        store_columns(t, h, own, j * (MN / 4));
    }
}
