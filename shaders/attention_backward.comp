#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// d_qkv(T,3H) of attention over packed sequences, for GPUs; attention_backward.glsl has the equations.
//
// One workgroup a (tile of 16 own rows, head), as in attention_forward.comp: of 64 invocations i serves rows i / 8 and
// i / 8 + 8 as lane i % 8 of each; of 256, which need a quarter of the registers, row i / 16 as lane i % 16. Blocks of
// OTHERS other rows stream through shared memory; a lane has the scores of every eighth (sixteenth) of them, then every
// eighth (sixteenth) vec4 of the gradients, in registers.
#include "shaders/common.glsl"
layout(constant_id = 6) const uint OTHERS = 16;     // a multiple of 8 that fits the shared memory
layout(constant_id = 7) const uint SHARED_OWN = 1;  // own rows in shared memory, else they are read again from memory
layout(constant_id = 8) const uint LANES = 8;       // invocations a row; OTHERS is a multiple of it
#include "shaders/attention.glsl"
#include "shaders/attention_backward.glsl"

const uint ROWS = 16, GROUPS = LOCAL_SIZE / LANES, PAIRS = ROWS / GROUPS;
const uint STRIDE = HEAD4 + 1;  // of shared rows, against bank conflicts
const uint WORD_STEPS = HEAD4 % 4 == 0 ? 4 : HEAD4 % 2 == 0 ? 2 : 1, OTHER_STEPS = 4;
const uint LANE_OTHERS = OTHERS / LANES, LANE_WORDS = (HEAD4 + LANES - 1) / LANES;
const uint VALUE_WORDS = OF_KEYS != 0 ? LANE_WORDS : 1;
const uint DROP_BLOCKS = OF_KEYS != 0 ? OTHERS : ROWS * ((OTHERS + 15) / 16);  // of 16 keys in a row

layout(std430, binding = 2) readonly buffer Qkv { STORED4 qkv[]; };
layout(std430, binding = 6) readonly buffer OutputGradient { STORED4 d_output[]; };
layout(push_constant) uniform Push { AttentionBackwardPush p; };

shared vec4 own[SHARED_OWN != 0 ? 2 * ROWS * STRIDE : 1];  // qk, then vg
shared vec4 block[OTHERS * STRIDE];                        // vg or qk of other rows
shared float d_scores[ROWS * (OTHERS + 1)];                // at first, partial sums of delta
shared float dropped[OF_KEYS != 0 ? ROWS * (OTHERS + 1) : 1];
shared float other_logsumexp[OF_KEYS != 0 ? OTHERS : 1], other_delta[OF_KEYS != 0 ? OTHERS : 1];
shared uvec4 drops[KEPT < 256 ? DROP_BLOCKS : 1];          // bytes of dropout for the block

// Vec4 d of the head in a packed row.
vec4 load_word(Head h, bool queries, bool vg, uint row, uint d) {
    const uint part = queries ? 0 : vg ? 2 : 1;
    if (queries && vg) return UNPACK4(d_output[row * p.d_output_pitch4 + head_word(h, d)]);
    return UNPACK4(qkv[row * p.qkv_pitch4 + part * p.hidden4 + head_word(h, d)]);
}
vec4 load_own(Tile t, Head h, bool vg, uint row, uint d) {
    const vec4 v = load_word(h, OF_KEYS == 0u, vg, t.row + min(row, t.rows - 1), d);
    return inside_head(h, d, v) * (vg ? 1.0 : p.scale);
}
vec4 own_word(Tile t, Head h, bool vg, uint row, uint d) {
    return SHARED_OWN != 0u ? own[(vg ? ROWS * STRIDE : 0) + row * STRIDE + d] : load_own(t, h, vg, row, d);
}

// Other rows [first, first + OTHERS) into shared memory; rows past the end repeat the last.
void load_block(Tile t, Head h, bool vg, uint first) {
    for (uint i = gl_LocalInvocationID.x; i < OTHERS * HEAD4; i += LOCAL_SIZE) {
        const uint row = t.first + min(first + i / HEAD4, t.keys - 1);
        block[i / HEAD4 * STRIDE + i % HEAD4] = load_word(h, OF_KEYS != 0u, vg, row, i % HEAD4);
    }
}
// What else the pass needs of them.
void load_statistics(Tile t, Head h, uint first) {
    const uint lane = gl_LocalInvocationID.x;
    if (OF_KEYS != 0u && lane < OTHERS) {
        const uint i = (t.first + min(first + lane, t.keys - 1)) * p.heads + h.index;
        other_logsumexp[lane] = logsumexp[i];
        other_delta[lane] = delta[i];
    }
    if (KEPT < 256u)
        for (uint i = lane; i < DROP_BLOCKS; i += LOCAL_SIZE) {
            const uint query = OF_KEYS != 0u ? t.first + first + i : t.row + i / (DROP_BLOCKS / ROWS);
            const uint key = OF_KEYS != 0u ? t.row - t.first : first + i % (DROP_BLOCKS / ROWS) * 16;
            drops[i] = attention_dropout_bytes(h, p.dropout_site, query, key);
        }
}
// Of own row `row` and other row first + k; first is a multiple of 8.
float drop_factor(uint row, uint first, uint k) {
    if (KEPT == 256u) return 1;
    const uint key = OF_KEYS != 0u ? row : first % 16 + k;
    return byte_factor(drops[OF_KEYS != 0u ? k : row * (DROP_BLOCKS / ROWS) + key / 16], key % 16);
}

// The product of the rows of this invocation and the other rows of its lane.
void multiply(Tile t, Head h, bool vg, uint group, uint lane, out float products[PAIRS][LANE_OTHERS]) {
    [[unroll]] for (uint r = 0; r < PAIRS; r++)
        [[unroll]] for (uint k = 0; k < LANE_OTHERS; k++) products[r][k] = 0;
    [[dont_unroll]] for (uint word = 0; word < HEAD4; word += WORD_STEPS)
        [[unroll]] for (uint d = word; d < word + WORD_STEPS; d++) {
            vec4 mine[PAIRS];
            [[unroll]] for (uint r = 0; r < PAIRS; r++) mine[r] = own_word(t, h, vg, group + r * GROUPS, d);
            [[unroll]] for (uint k = 0; k < LANE_OTHERS; k++) {
                const vec4 other = block[(lane + k * LANES) * STRIDE + d];
                [[unroll]] for (uint r = 0; r < PAIRS; r++) products[r][k] += dot(mine[r], other);
            }
        }
}
#define ACCUMULATE(SUMS, WORDS, WEIGHTS)                                                                   \
    [[dont_unroll]] for (uint other = 0; other < OTHERS; other += OTHER_STEPS)                             \
        [[unroll]] for (uint k = other; k < other + OTHER_STEPS; k++) {                                    \
            float weight[PAIRS];                                                                           \
            [[unroll]] for (uint r = 0; r < PAIRS; r++)                                                    \
                weight[r] = WEIGHTS[(group + r * GROUPS) * (OTHERS + 1) + k];                              \
            [[unroll]] for (uint w = 0; w < WORDS; w++) {                                                  \
                const vec4 word = block[k * STRIDE + min(lane + w * LANES, HEAD4 - 1)];                    \
                [[unroll]] for (uint r = 0; r < PAIRS; r++) SUMS[r][w] += weight[r] * word;                \
            }                                                                                              \
        }

void main() {
    const Tile t = tiles[gl_WorkGroupID.x];
    const Head h = head_of(gl_WorkGroupID.y);
    const uint lane = gl_LocalInvocationID.x % LANES, group = gl_LocalInvocationID.x / LANES;
    if (SHARED_OWN != 0u)
        for (uint i = gl_LocalInvocationID.x; i < 2 * ROWS * HEAD4; i += LOCAL_SIZE) {
            const uint row = i / HEAD4, d = i % HEAD4;  // the rows of qk, then those of vg
            own[row * STRIDE + d] = load_own(t, h, row >= ROWS, row % ROWS, d);
        }
    float own_logsumexp[PAIRS], own_delta[PAIRS];
    if (OF_KEYS == 0u) {
        barrier();
        [[unroll]] for (uint r = 0; r < PAIRS; r++) {
            const uint row = group + r * GROUPS, packed = t.row + min(row, t.rows - 1);
            float sum = 0;
            for (uint d = lane; d < HEAD4; d += LANES)
                sum += dot(own_word(t, h, true, row, d),
                           UNPACK4(forward_output[packed * p.output_pitch4 + head_word(h, d)]));
            d_scores[row * LANES + lane] = sum;
            own_logsumexp[r] = logsumexp[packed * p.heads + h.index];
        }
        barrier();
        [[unroll]] for (uint r = 0; r < PAIRS; r++) {
            const uint row = group + r * GROUPS;
            own_delta[r] = 0;
            [[unroll]] for (uint i = 0; i < LANES; i++) own_delta[r] += d_scores[row * LANES + i];
            if (row < t.rows && lane == 0) delta[(t.row + row) * p.heads + h.index] = own_delta[r];
        }
    }
    vec4 d_qk[PAIRS][LANE_WORDS], d_value[PAIRS][VALUE_WORDS];
    [[unroll]] for (uint r = 0; r < PAIRS; r++) {
        [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) d_qk[r][w] = vec4(0);
        [[unroll]] for (uint w = 0; w < VALUE_WORDS; w++) d_value[r][w] = vec4(0);
    }
    const uint end = end_other(t);
    for (uint first = first_other(t); first < end; first += OTHERS) {
        barrier();
        load_block(t, h, true, first);
        load_statistics(t, h, first);
        barrier();
        float d_weights[PAIRS][LANE_OTHERS], scores[PAIRS][LANE_OTHERS];
        multiply(t, h, true, group, lane, d_weights);
        barrier();
        load_block(t, h, false, first);
        barrier();
        multiply(t, h, false, group, lane, scores);
        [[unroll]] for (uint r = 0; r < PAIRS; r++) {
            const uint row = group + r * GROUPS, position = t.row + min(row, t.rows - 1) - t.first;
            [[unroll]] for (uint i = 0; i < LANE_OTHERS; i++) {
                const uint k = lane + i * LANES;
                const Weights w = weigh(meet(t, position, first + k), scores[r][i], d_weights[r][i],
                                        OF_KEYS != 0u ? other_logsumexp[k] : own_logsumexp[r],
                                        OF_KEYS != 0u ? other_delta[k] : own_delta[r], drop_factor(row, first, k));
                d_scores[row * (OTHERS + 1) + k] = w.d_score;
                if (OF_KEYS != 0u) dropped[row * (OTHERS + 1) + k] = w.dropped;
            }
        }
        barrier();
        ACCUMULATE(d_qk, LANE_WORDS, d_scores)
        if (OF_KEYS != 0u) {
            barrier();
            load_block(t, h, true, first);
            barrier();
            ACCUMULATE(d_value, VALUE_WORDS, dropped)
        }
    }
    [[unroll]] for (uint r = 0; r < PAIRS; r++) {
        const uint row = group + r * GROUPS, row4 = (t.row + row) * p.d_qkv_pitch4;
        if (row < t.rows) {
            [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) {
                const uint d = lane + w * LANES;
                if (d >= HEAD4) break;
                store_output(h, row4 + OF_KEYS * p.hidden4, d, d_qk[r][w] * (p.scale * LN_2));
                if (OF_KEYS != 0u) store_output(h, row4 + 2 * p.hidden4, d, d_value[r][w]);
            }
        }
    }
}
