#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// d_qkv(T,3H) of attention over packed sequences, for GPUs; attention_backward.glsl has the equations.
//
// One workgroup a (tile of 16 own rows, head), as in attention_forward.comp: of 64 invocations 8 lanes share two rows, of
// 256, which need a quarter of the registers, 16 lanes one. Blocks of OTHERS other rows stream through shared memory; a lane
// has the scores of every eighth (sixteenth) of them, then every eighth (sixteenth) vec4 of the gradients, in registers.
// With two PARTS a lane serves the rows of its counterpart in the other part too in the products of rows, each for half of
// the head, and the parts exchange what they have of one another's rows; see attention_forward.comp.
#include "shaders/common.glsl"
layout(constant_id = 6) const uint OTHERS = 16;     // a multiple of 8 that fits the shared memory
layout(constant_id = 7) const uint SHARED_OWN = 1;  // own rows in shared memory, else they are read again from memory
layout(constant_id = 8) const uint LANES = 8;       // invocations a row; OTHERS is a multiple of it
layout(constant_id = 9) const uint PARTS = 1;       // 1, or 2 where HEAD4 is even
#include "shaders/attention.glsl"
#include "shaders/attention_backward.glsl"

const uint ROWS = 16, OWN = ROWS * LANES / LOCAL_SIZE, GROUPS = LOCAL_SIZE / LANES / PARTS;
const uint STRIDE = HEAD4 + 1;  // of shared rows, against bank conflicts
const uint LANE_OTHERS = OTHERS / LANES, PART_WORDS = HEAD4 / PARTS;
// In the gradients twice as many lanes share twice as many rows where the head has vec4s for them all, but for two gradients
// beside dropout, where Adreno 630 spills.
const uint MOST_LANES = KEPT < 256 ? (2 - OF_KEYS) * LANES : 2 * LANES;
const uint SUM_LANES = HEAD4 % MOST_LANES == 0 ? MOST_LANES : LANES, SUM_GROUPS = LOCAL_SIZE / SUM_LANES;
const uint SUM_ROWS = ROWS / SUM_GROUPS, SUM_WORDS = (HEAD4 + SUM_LANES - 1) / SUM_LANES;
const uint VALUE_WORDS = OF_KEYS != 0 ? SUM_WORDS : 1;
// Steps of the loop over other rows in a row: few enough for registers.
const uint OTHER_STEPS = SUM_ROWS * SUM_WORDS * (1 + OF_KEYS) > 4 ? 1 : 2;
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

struct Place { uint lane, group, part; };
uint row_of(Place at, uint part, uint i) { return at.group + (part * OWN + i) * GROUPS; }
// The row and vec4 of a gradient in an invocation's registers.
uint sum_row(uint r) { return gl_LocalInvocationID.x / SUM_LANES + r * SUM_GROUPS; }
uint sum_word(uint w) { return gl_LocalInvocationID.x % SUM_LANES + w * SUM_LANES; }

// The products of the own rows and the other rows of this lane. With two parts, those of the other part's rows go through
// d_scores, each where its owner, who alone reads it, will write the gradient.
void multiply(Tile t, Head h, bool vg, Place at, out float products[OWN][LANE_OTHERS]) {
    float all[OWN * PARTS][LANE_OTHERS];
    [[unroll]] for (uint r = 0; r < OWN * PARTS; r++)
        [[unroll]] for (uint k = 0; k < LANE_OTHERS; k++) all[r][k] = 0;
    [[dont_unroll]] for (uint word = 0; word < PART_WORDS; word++) {
        const uint d = at.part * PART_WORDS + word;
        vec4 mine[OWN * PARTS];
        [[unroll]] for (uint r = 0; r < OWN * PARTS; r++)
            mine[r] = own_word(t, h, vg, row_of(at, at.part ^ r / OWN, r % OWN), d);
        [[unroll]] for (uint k = 0; k < LANE_OTHERS; k++) {
            const vec4 other = block[(at.lane + k * LANES) * STRIDE + d];
            [[unroll]] for (uint r = 0; r < OWN * PARTS; r++) all[r][k] += dot(mine[r], other);
        }
    }
    if (PARTS == 2u) {
        [[unroll]] for (uint r = 0; r < OWN; r++)
            [[unroll]] for (uint k = 0; k < LANE_OTHERS; k++)
                d_scores[row_of(at, at.part ^ 1, r) * (OTHERS + 1) + at.lane + k * LANES] = all[OWN * (PARTS - 1) + r][k];
        barrier();
    }
    [[unroll]] for (uint r = 0; r < OWN; r++)
        [[unroll]] for (uint k = 0; k < LANE_OTHERS; k++) {
            products[r][k] = all[r][k];
            if (PARTS == 2u) products[r][k] += d_scores[row_of(at, at.part, r) * (OTHERS + 1) + at.lane + k * LANES];
        }
}
#define ACCUMULATE(SUMS, WORDS, WEIGHTS)                                                                   \
    [[dont_unroll]] for (uint other = 0; other < OTHERS; other += OTHER_STEPS)                             \
        [[unroll]] for (uint i = 0; i < OTHER_STEPS; i++) {                                                \
            const uint k = other + i;                                                                      \
            float weight[SUM_ROWS];                                                                        \
            [[unroll]] for (uint r = 0; r < SUM_ROWS; r++)                                                 \
                weight[r] = WEIGHTS[sum_row(r) * (OTHERS + 1) + k];                                        \
            [[unroll]] for (uint w = 0; w < WORDS; w++) {                                                  \
                const vec4 word = block[k * STRIDE + min(sum_word(w), HEAD4 - 1)];                         \
                [[unroll]] for (uint r = 0; r < SUM_ROWS; r++) SUMS[r][w] += weight[r] * word;             \
            }                                                                                              \
        }

void main() {
    const Tile t = tiles[gl_WorkGroupID.x];
    const Head h = head_of(gl_WorkGroupID.y);
    const uint id = gl_LocalInvocationID.x;
    const Place at = Place(id % LANES, id / LANES % GROUPS, PARTS == 1u ? 0 : id / (LANES * GROUPS));
    if (SHARED_OWN != 0u)
        for (uint i = id; i < 2 * ROWS * HEAD4; i += LOCAL_SIZE) {
            const uint row = i / HEAD4, d = i % HEAD4;  // the rows of qk, then those of vg
            own[row * STRIDE + d] = load_own(t, h, row >= ROWS, row % ROWS, d);
        }
    float own_logsumexp[OWN], own_delta[OWN];
    if (OF_KEYS == 0u) {
        barrier();
        [[unroll]] for (uint r = 0; r < OWN; r++) {
            const uint row = row_of(at, at.part, r), packed = t.row + min(row, t.rows - 1);
            float sum = 0;
            for (uint d = at.lane; d < HEAD4; d += LANES)
                sum += dot(own_word(t, h, true, row, d),
                           UNPACK4(forward_output[packed * p.output_pitch4 + head_word(h, d)]));
            d_scores[row * LANES + at.lane] = sum;
            own_logsumexp[r] = logsumexp[packed * p.heads + h.index];
        }
        barrier();
        [[unroll]] for (uint r = 0; r < OWN; r++) {
            const uint row = row_of(at, at.part, r);
            own_delta[r] = 0;
            [[unroll]] for (uint i = 0; i < LANES; i++) own_delta[r] += d_scores[row * LANES + i];
            if (row < t.rows && at.lane == 0) delta[(t.row + row) * p.heads + h.index] = own_delta[r];
        }
    }
    vec4 d_qk[SUM_ROWS][SUM_WORDS], d_value[SUM_ROWS][VALUE_WORDS];
    [[unroll]] for (uint r = 0; r < SUM_ROWS; r++) {
        [[unroll]] for (uint w = 0; w < SUM_WORDS; w++) d_qk[r][w] = vec4(0);
        [[unroll]] for (uint w = 0; w < VALUE_WORDS; w++) d_value[r][w] = vec4(0);
    }
    const uint end = end_other(t);
    for (uint first = first_other(t); first < end; first += OTHERS) {
        barrier();
        load_block(t, h, true, first);
        load_statistics(t, h, first);
        barrier();
        float d_weights[OWN][LANE_OTHERS], scores[OWN][LANE_OTHERS];
        multiply(t, h, true, at, d_weights);
        if (PARTS == 1u) barrier();  // else multiply had one
        load_block(t, h, false, first);
        barrier();
        multiply(t, h, false, at, scores);
        [[unroll]] for (uint r = 0; r < OWN; r++) {
            const uint row = row_of(at, at.part, r), position = t.row + min(row, t.rows - 1) - t.first;
            [[unroll]] for (uint i = 0; i < LANE_OTHERS; i++) {
                const uint k = at.lane + i * LANES;
                const Weights w = weigh(meet(t, position, first + k), scores[r][i], d_weights[r][i],
                                        OF_KEYS != 0u ? other_logsumexp[k] : own_logsumexp[r],
                                        OF_KEYS != 0u ? other_delta[k] : own_delta[r], drop_factor(row, first, k));
                d_scores[row * (OTHERS + 1) + k] = w.d_score;
                if (OF_KEYS != 0u) dropped[row * (OTHERS + 1) + k] = w.dropped;
            }
        }
        barrier();
        ACCUMULATE(d_qk, SUM_WORDS, d_scores)
        if (OF_KEYS != 0u) {
            barrier();
            load_block(t, h, true, first);
            barrier();
            ACCUMULATE(d_value, VALUE_WORDS, dropped)
        }
    }
    [[unroll]] for (uint r = 0; r < SUM_ROWS; r++) {
        const uint row = sum_row(r), row4 = (t.row + row) * p.d_qkv_pitch4;
        if (row < t.rows) {
            [[unroll]] for (uint w = 0; w < SUM_WORDS; w++) {
                const uint d = sum_word(w);
                if (d >= HEAD4) break;
                store_output(h, row4 + OF_KEYS * p.hidden4, d, d_qk[r][w] * (p.scale * LN_2));
                if (OF_KEYS != 0u) store_output(h, row4 + 2 * p.hidden4, d, d_value[r][w]);
            }
        }
    }
}
