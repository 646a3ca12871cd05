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
layout(constant_id = 6) const uint SUBGROUPS = 4;
layout(constant_id = 7) const uint MM = 16;
layout(constant_id = 8) const uint MN = 16;
layout(constant_id = 9) const uint MK = 16;
layout(constant_id = 10) const uint ACROSS = 0;  // values are turned round on their way into shared memory
#include "shaders/attention.glsl"
#include "shaders/attention_forward.glsl"
#include "shaders/attention_matrix.glsl"

const float HIGHEST = 15, USUAL = 8;  // logarithms of the largest weight: at most, and when the reference is set

const uint CHUNK = KEYS / LANES, CHUNK4 = CHUNK / 4;                // keys of a row that one invocation weighs
// Of a row of scores; behind its factors, which take their place, its weights.
const uint WEIGHTS_AT = KEYS / 8 > MN / 4 ? KEYS / 8 : MN / 4, ROW_END = WEIGHTS_AT + KEYS / 8;
const uint SCORE_STRIDE = (KEYS / 4 > ROW_END ? KEYS / 4 : ROW_END) + 1;
const uint VALUE_STRIDE = KEYS / 4 + 2;                             // of a column of values
const uint PIECES = KEYS * HEAD4 / LOCAL_SIZE;                      // of a block of keys that one invocation copies

layout(std430, binding = 2) readonly buffer Qkv { uvec2 qkv[]; };
layout(push_constant) uniform Push { AttentionForwardPush p; };

const uint VALUES_AT = KEYS * STRIDE, BLOCK = VALUES_AT + (ACROSS != 0 ? HEAD_SIZE * VALUE_STRIDE : KEYS * STRIDE);
// Queries stay in matrices, or in shared memory where these would spill (Xe2).
const bool HELD = MM == 16 || HEAD_SIZE <= 32;
const uint QUERIES_AT = HELD ? 0 : BLOCK;
shared uvec2 rows[HELD ? (BLOCK > ROWS * STRIDE ? BLOCK : ROWS * STRIDE) : BLOCK + ROWS * STRIDE];  // keys, values, queries
// Then, of a row: factors (fp32) in the first half, weights (fp16) in the second.
shared vec4 scores[ROWS * SCORE_STRIDE];

uvec2 next[2 * PIECES];

// Which key of a block and which piece of its row the i-th piece of this invocation is. Where values are turned round, every
// second piece is that of the key after; four such pairs, then eight pieces of one row are a subgroup's.
uvec2 piece_of(uint i) {
    if (ACROSS == 0u) {
        const uint piece = i * LOCAL_SIZE + gl_LocalInvocationID.x;
        return uvec2(piece / HEAD4, piece % HEAD4);
    }
    const uint pair = i / 2 * LOCAL_SIZE + gl_LocalInvocationID.x;
    return uvec2(8 * (pair / (4 * HEAD4)) + 2 * (pair % 4) + i % 2, pair / 4 % HEAD4);
}
void fetch(Tile t, Head h, uint first) {
    [[unroll]] for (uint i = 0; i < PIECES; i++) {
        const uvec2 piece = piece_of(i);
        const uint row = t.first + min(first + piece.x, t.keys - 1);  // beyond the end the last, with no weight
        const uint key = row * p.qkv_pitch4 + p.hidden4 + head_word(h, piece.y);
        next[i] = qkv[key];
        next[PIECES + i] = qkv[key + p.hidden4];
    }
}
void place() {
    [[unroll]] for (uint i = 0; i < PIECES; i++) {
        const uvec2 piece = piece_of(i);
        rows[piece.x * STRIDE + piece.y] = next[i];
        if (ACROSS == 0u) rows[VALUES_AT + piece.x * STRIDE + piece.y] = next[PIECES + i];
    }
    if (ACROSS != 0u)
        [[unroll]] for (uint i = 0; i < PIECES; i += 2) {
            const uvec2 piece = piece_of(i), even = next[PIECES + i], odd = next[PIECES + i + 1];
            const uint at = VALUES_AT + 4 * piece.y * VALUE_STRIDE + piece.x / 4, half_piece = piece.x / 2 % 2;
            rows[at][half_piece] = bitfieldInsert(even.x, odd.x, 16, 16);
            rows[at + VALUE_STRIDE][half_piece] = bitfieldInsert(odd.x, even.x >> 16, 0, 16);
            rows[at + 2 * VALUE_STRIDE][half_piece] = bitfieldInsert(even.y, odd.y, 16, 16);
            rows[at + 3 * VALUE_STRIDE][half_piece] = bitfieldInsert(odd.y, even.y >> 16, 0, 16);
        }
}
void place_queries(Tile t, Head h) {
    for (uint i = gl_LocalInvocationID.x; i < ROWS * HEAD4; i += LOCAL_SIZE)
        rows[QUERIES_AT + i / HEAD4 * STRIDE + i % HEAD4] =
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
// Makes all elements of the row of a matrix that is loaded from its scores the factor.
void write_factor(Row r, float factor) {
    if (r.chunk == 0)
        [[unroll]] for (uint i = 0; i < MN / 4; i++) scores[r.index * SCORE_STRIDE + i] = vec4(factor);
}

vec4 s[CHUNK4];  // scores, of this invocation's chunk of a row

void read_scores(Row r) {
    [[unroll]] for (uint i = 0; i < CHUNK4; i++) s[i] = scores[r.index * SCORE_STRIDE + r.chunk * CHUNK4 + i] * p.scale;
}
// Writes weights of the scores of keys [first, first + KEYS). Whether some reference of the subgroup has risen, and factors
// are written as well.
bool weigh(Head h, inout Row r, uint first) {
    float largest = MASKED;
    [[unroll]] for (uint i = 0; i < CHUNK4; i++) {
        const uint key = first + r.chunk * CHUNK + 4 * i;
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
            weight = mix(vec4(0), weight, dropout_keeps(bytes[(r.chunk * CHUNK4 + i) % 4], KEPT));
        }
        s[i].xy = uintBitsToFloat(pack_halves(weight));
    }
    [[unroll]] for (uint i = 0; i < CHUNK4; i += 2)
        scores[r.index * SCORE_STRIDE + WEIGHTS_AT + (r.chunk * CHUNK4 + i) / 2] = vec4(s[i].xy, s[i + 1].xy);
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
OPERAND_A q[HELD ? DEPTHS : 1];
SUMS o[WIDTHS];

// Scores of the subgroup's queries and the keys of the block.
void multiply(uint own) {
    FOR_STEPS(k, KEYS, MN) {
        SUMS s = SUMS(0.0);
        [[unroll]] for (uint d = 0; d < DEPTHS; d++) {
            OPERAND_B key;
            coopMatLoad(key, rows, k * STRIDE + d * (MK / 4), STRIDE, COLUMN_MAJOR);
            if (!HELD) coopMatLoad(q[0], rows, QUERIES_AT + own * STRIDE + d * (MK / 4), STRIDE, ROW_MAJOR);
            s = coopMatMulAdd(q[HELD ? d : 0], key, s);
        }
        coopMatStore(s, scores, own * SCORE_STRIDE + k / 4, SCORE_STRIDE, ROW_MAJOR);
    }
}
// Adds the values of the block by their weights.
void accumulate(uint own) {
    FOR_STEPS(k, KEYS, MK) {
        OPERAND_A weight;
        coopMatLoad(weight, scores, own * SCORE_STRIDE + WEIGHTS_AT + k / 8, SCORE_STRIDE, ROW_MAJOR);
        [[unroll]] for (uint j = 0; j < WIDTHS; j++) {
            OPERAND_B value;
            if (ACROSS != 0u)
                coopMatLoad(value, rows, VALUES_AT + j * MN * VALUE_STRIDE + k / 4, VALUE_STRIDE, COLUMN_MAJOR);
            else
                coopMatLoad(value, rows, VALUES_AT + k * STRIDE + j * (MN / 4), STRIDE, ROW_MAJOR);
            o[j] = coopMatMulAdd(weight, value, o[j]);
        }
    }
}

// Stores MN columns of the subgroup's rows, from vec4 `column4` of the head on, from where its scores were.
void store_columns(Tile t, Head h, uint own, uint column4) {
    [[unroll]] for (uint round = 0; round < MM * MN / 4; round += LOCAL_SIZE / SUBGROUPS) {
        const uint at = round + gl_SubgroupInvocationID;
        const uint row = own + at / (MN / 4), i = at % (MN / 4);
        if (row < t.rows)
            store_output(h, (t.row + row) * p.output_pitch4, column4 + i, scores[row * SCORE_STRIDE + i]);
    }
}

void main() {
    Tile t = tiles[gl_WorkGroupID.x];
    if (!first_of_group(t)) return;
    const Head h = head_of(gl_WorkGroupID.y);
    const uint own = gl_SubgroupID * MM;
    Row r = row_of(t, own + gl_SubgroupInvocationID / LANES, gl_SubgroupInvocationID % LANES);
    const uint keys = keys_of(t);
    const uint seen = own >= t.rows ? 0 : CAUSAL != 0u ? min(keys, t.row - t.first + own + MM) : keys;  // by the subgroup
    if (AHEAD) fetch(t, h, 0);
    place_queries(t, h);
    barrier();
    if (HELD)
        [[unroll]] for (uint d = 0; d < DEPTHS; d++) coopMatLoad(q[d], rows, own * STRIDE + d * (MK / 4), STRIDE, ROW_MAJOR);
    SUMS factor;
    [[unroll]] for (uint j = 0; j < WIDTHS; j++) o[j] = SUMS(0.0);

    for (uint first = 0; first < keys; first += KEYS) {
        const bool meets = first < seen;
        barrier();
        if (!AHEAD) fetch(t, h, first);
        place();
        barrier();
        if (AHEAD && first + KEYS < keys) fetch(t, h, first + KEYS);
        if (meets) multiply(own);
        fence();
        if (meets) read_scores(r);
        fence();
        const bool rises = meets && weigh(h, r, first);
        fence();
        if (rises) {
            coopMatLoad(factor, scores, own * SCORE_STRIDE, SCORE_STRIDE, ROW_MAJOR);
            [[unroll]] for (uint j = 0; j < WIDTHS; j++) o[j] *= factor;
        }
        if (meets) accumulate(own);
    }
    finish_row(t, h, r);
    coopMatLoad(factor, scores, own * SCORE_STRIDE, SCORE_STRIDE, ROW_MAJOR);
    [[unroll]] for (uint j = 0; j < WIDTHS; j++) {
        fence();
        coopMatStore(o[j] * factor, scores, own * SCORE_STRIDE, SCORE_STRIDE, ROW_MAJOR);
        fence();
        store_columns(t, h, own, j * (MN / 4));
    }
}
