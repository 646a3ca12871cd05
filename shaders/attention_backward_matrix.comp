#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
// d_qkv(T,3H) of attention over packed sequences on matrix cores, fp16 operands and fp32 sums; attention_backward.glsl has the
// equations, attention_matrix.glsl how rows are shared out.
//
// Own rows and their gradients stay in matrices to the end; blocks of OTHERS other rows stream through shared memory, the next
// on their way in registers meanwhile. STEP of them at a time meet the own rows.
#define FP16
#include "shaders/common.glsl"
layout(constant_id = 6) const uint OTHERS = 32;
layout(constant_id = 7) const uint SUBGROUPS = 4;
layout(constant_id = 8) const uint MM = 16;
layout(constant_id = 9) const uint MN = 16;
layout(constant_id = 10) const uint MK = 16;
#include "shaders/attention.glsl"
#include "shaders/attention_backward.glsl"
#include "shaders/attention_matrix.glsl"

const uint STEP = 16, CHUNK = STEP / LANES, CHUNK4 = CHUNK / 4;  // other rows that one invocation weighs for its own row
const uint SLICE_STRIDE = 2 * STEP / 4 + 1;
const uint PIECES = OTHERS * HEAD4 / LOCAL_SIZE;  // of a block of vectors that one invocation copies
const uint VG_AT = OTHERS * STRIDE, VALUE_WIDTHS = OF_KEYS != 0 ? WIDTHS : 1;

layout(std430, binding = 2) readonly buffer Qkv { uvec2 qkv[]; };
layout(std430, binding = 6) readonly buffer OutputGradient { uvec2 d_output[]; };
layout(push_constant) uniform Push { AttentionBackwardPush p; };

shared uvec2 rows[2 * OTHERS > ROWS ? 2 * OTHERS * STRIDE : ROWS * STRIDE];  // qk, then vg of others; before them all own rows
// Of a row: scores, then d_weights; in place of the scores then, in fp16, d_scores and dropped weights.
shared vec4 slices[ROWS * SLICE_STRIDE];
shared float other_logsumexp[OF_KEYS != 0 ? OTHERS : 1], other_delta[OF_KEYS != 0 ? OTHERS : 1];
shared uvec4 drops[KEPT < 256 ? OTHERS * ROWS / 16 : 1];  // bytes of dropout of 16 keys in a row

uvec2 next[2 * PIECES];

uvec2 load_word(Head h, bool queries, bool vg, uint row, uint d) {
    if (queries && vg) return d_output[row * p.d_output_pitch4 + head_word(h, d)];
    return qkv[row * p.qkv_pitch4 + (queries ? 0 : vg ? 2 : 1) * p.hidden4 + head_word(h, d)];
}
void fetch(Tile t, Head h, uint first) {
    [[unroll]] for (uint i = 0; i < PIECES; i++) {
        const uint piece = i * LOCAL_SIZE + gl_LocalInvocationID.x;
        const uint row = t.first + min(first + piece / HEAD4, t.keys - 1);  // beyond the end the last, with no weight
        next[i] = load_word(h, OF_KEYS != 0u, false, row, piece % HEAD4);
        next[PIECES + i] = load_word(h, OF_KEYS != 0u, true, row, piece % HEAD4);
    }
}
void place() {
    [[unroll]] for (uint i = 0; i < PIECES; i++) {
        const uint piece = i * LOCAL_SIZE + gl_LocalInvocationID.x;
        const uint at = piece / HEAD4 * STRIDE + piece % HEAD4;
        rows[at] = next[i];
        rows[VG_AT + at] = next[PIECES + i];
    }
}
void place_own(Tile t, Head h, bool vg) {
    for (uint i = gl_LocalInvocationID.x; i < ROWS * HEAD4; i += LOCAL_SIZE)
        rows[i / HEAD4 * STRIDE + i % HEAD4] = load_word(h, OF_KEYS == 0u, vg, t.row + min(i / HEAD4, t.rows - 1), i % HEAD4);
}
// What else belongs to a block.
void place_statistics(Tile t, Head h, uint first) {
    const uint lane = gl_LocalInvocationID.x;
    if (OF_KEYS != 0u && lane < OTHERS) {
        const uint i = (t.first + min(first + lane, t.keys - 1)) * p.heads + h.index;
        other_logsumexp[lane] = logsumexp[i];
        other_delta[lane] = delta[i];
    }
    if (KEPT < 256u)
        for (uint i = lane; i < OTHERS * ROWS / 16; i += LOCAL_SIZE) {
            const uint query = OF_KEYS != 0u ? t.first + first + i % OTHERS : t.row + i / (OTHERS / 16);
            const uint key = OF_KEYS != 0u ? t.row - t.first + i / OTHERS * 16 : first + i % (OTHERS / 16) * 16;
            drops[i] = attention_dropout_bytes(h, p.dropout_site, query, key);
        }
}
float drop_factor(uint row, uint other) {
    if (KEPT == 256u) return 1;
    return OF_KEYS != 0u ? byte_factor(drops[row / 16 * OTHERS + other], row % 16)
                         : byte_factor(drops[row * (OTHERS / 16) + other / 16], other % 16);
}

// An own row, as the LANES invocations that serve it see it.
struct Row {
    uint index, chunk, position, packed;  // of the workgroup; which of the LANES; in the sequence; in the packed tokens
    float row_logsumexp, row_delta;       // of a query
};
Row row_of(Tile t, uint index, uint chunk) {
    const uint row = t.row + min(index, t.rows - 1);
    return Row(index, chunk, row - t.first, row, 0, 0);
}
// Of a query whose gradient of the output is in shared memory.
void find_statistics(Tile t, Head h, inout Row r) {
    float sum = 0;
    for (uint d = r.chunk; d < HEAD4; d += LANES)
        sum += dot(UNPACK4(rows[r.index * STRIDE + d]), UNPACK4(forward_output[r.packed * p.output_pitch4 + head_word(h, d)]));
    r.row_delta = sum_of_row(sum);
    r.row_logsumexp = logsumexp[r.packed * p.heads + h.index];
    if (r.chunk == 0 && r.index < t.rows) delta[r.packed * p.heads + h.index] = r.row_delta;
}

vec4 scores[CHUNK4], d_weights[CHUNK4];  // of this invocation's chunk of a row

void read_slice(Row r) {
    [[unroll]] for (uint i = 0; i < CHUNK4; i++) {
        scores[i] = slices[r.index * SLICE_STRIDE + r.chunk * CHUNK4 + i] * p.scale;
        d_weights[i] = slices[r.index * SLICE_STRIDE + STEP / 4 + r.chunk * CHUNK4 + i];
    }
}
// In fp16: d_scores and dropped weights of other rows [first + step, first + step + STEP).
void write_slice(Tile t, Row r, uint first, uint step) {
    [[unroll]] for (uint i = 0; i < CHUNK4; i++) {
        [[unroll]] for (uint c = 0; c < 4; c++) {
            const uint k = step + r.chunk * CHUNK + 4 * i + c;
            const Weights w = weigh(meet(t, r.position, first + k), scores[i][c], d_weights[i][c],
                                    OF_KEYS != 0u ? other_logsumexp[k] : r.row_logsumexp,
                                    OF_KEYS != 0u ? other_delta[k] : r.row_delta, drop_factor(r.index, k));
            scores[i][c] = w.d_score;
            d_weights[i][c] = w.dropped;
        }
    }
    [[unroll]] for (uint i = 0; i < CHUNK4; i += 2) {
        const uint at = r.index * SLICE_STRIDE + (r.chunk * CHUNK4 + i) / 2;
        slices[at] = uintBitsToFloat(uvec4(pack_halves(scores[i]), pack_halves(scores[i + 1])));
        if (OF_KEYS != 0u)
            slices[at + STEP / 8] = uintBitsToFloat(uvec4(pack_halves(d_weights[i]), pack_halves(d_weights[i + 1])));
    }
}

OPERAND_A own_qk[DEPTHS], own_vg[DEPTHS];
SUMS d_qk[WIDTHS], d_value[VALUE_WIDTHS];

// Products of own rows and other rows [step, step + STEP) of the block, into the slice.
void multiply(uint slice, uint step) {
    FOR_STEPS(n, STEP, MN) {
        SUMS score = SUMS(0.0), d_weight = SUMS(0.0);
        [[unroll]] for (uint d = 0; d < DEPTHS; d++) {
            OPERAND_B qk, vg;
            coopMatLoad(qk, rows, (step + n) * STRIDE + d * (MK / 4), STRIDE, COLUMN_MAJOR);
            coopMatLoad(vg, rows, VG_AT + (step + n) * STRIDE + d * (MK / 4), STRIDE, COLUMN_MAJOR);
            score = coopMatMulAdd(own_qk[d], qk, score);
            d_weight = coopMatMulAdd(own_vg[d], vg, d_weight);
        }
        coopMatStore(score, slices, slice + n / 4, SLICE_STRIDE, ROW_MAJOR);
        coopMatStore(d_weight, slices, slice + (STEP + n) / 4, SLICE_STRIDE, ROW_MAJOR);
    }
}
// Adds what the slice holds then times the other rows to the gradients.
void accumulate(uint slice, uint step) {
    FOR_STEPS(k, STEP, MK) {
        OPERAND_A d_score, dropped;
        coopMatLoad(d_score, slices, slice + k / 8, SLICE_STRIDE, ROW_MAJOR);
        if (OF_KEYS != 0u) coopMatLoad(dropped, slices, slice + (STEP + k) / 8, SLICE_STRIDE, ROW_MAJOR);
        [[unroll]] for (uint j = 0; j < WIDTHS; j++) {
            OPERAND_B qk, vg;
            coopMatLoad(qk, rows, (step + k) * STRIDE + j * (MN / 4), STRIDE, ROW_MAJOR);
            d_qk[j] = coopMatMulAdd(d_score, qk, d_qk[j]);
            if (OF_KEYS != 0u) {
                coopMatLoad(vg, rows, VG_AT + (step + k) * STRIDE + j * (MN / 4), STRIDE, ROW_MAJOR);
                d_value[j] = coopMatMulAdd(dropped, vg, d_value[j]);
            }
        }
    }
}

// Stores MN columns of the subgroup's rows, from vec4 `column4` of the head of this part (0 to 2) of d_qkv on.
void store_columns(Tile t, Head h, uint own, uint part, uint column4, float factor) {
    [[unroll]] for (uint round = 0; round < MM * MN / 4; round += LOCAL_SIZE / SUBGROUPS) {
        const uint at = round + gl_SubgroupInvocationID, row = own + at / (MN / 4), i = at % (MN / 4);
        if (row < t.rows)
            store_output(h, (t.row + row) * p.d_qkv_pitch4 + part * p.hidden4, column4 + i,
                         slices[row * SLICE_STRIDE + i] * factor);
    }
}
#define LOAD_OWN(MATRICES)                                     \
    [[unroll]] for (uint d = 0; d < DEPTHS; d++)               \
        coopMatLoad(MATRICES[d], rows, own * STRIDE + d * (MK / 4), STRIDE, ROW_MAJOR);
#define STORE(GRADIENTS, PART, FACTOR)                                              \
    [[unroll]] for (uint j = 0; j < WIDTHS; j++) {                                  \
        fence();                                                                    \
        coopMatStore(GRADIENTS[j], slices, slice, SLICE_STRIDE, ROW_MAJOR);         \
        fence();                                                                    \
        store_columns(t, h, own, PART, j * (MN / 4), FACTOR);                       \
    }

void main() {
    Tile t = tiles[gl_WorkGroupID.x];
    if (!first_of_group(t)) return;
    const Head h = head_of(gl_WorkGroupID.y);
    const uint own = gl_SubgroupID * MM, slice = own * SLICE_STRIDE, place_in_sequence = t.row - t.first + own;
    Row r = row_of(t, own + gl_SubgroupInvocationID / LANES, gl_SubgroupInvocationID % LANES);
    place_own(t, h, false);
    barrier();
    LOAD_OWN(own_qk)
    barrier();
    place_own(t, h, true);
    barrier();
    LOAD_OWN(own_vg)
    if (OF_KEYS == 0u) find_statistics(t, h, r);
    [[unroll]] for (uint j = 0; j < WIDTHS; j++) d_qk[j] = SUMS(0.0);
    [[unroll]] for (uint j = 0; j < VALUE_WIDTHS; j++) d_value[j] = SUMS(0.0);

    const uint end = end_other(t);
    if (AHEAD) fetch(t, h, first_other(t));
    for (uint first = first_other(t); first < end; first += OTHERS) {
        barrier();
        if (!AHEAD) fetch(t, h, first);
        place();
        place_statistics(t, h, first);
        barrier();
        if (AHEAD && first + OTHERS < end) fetch(t, h, first + OTHERS);
        [[dont_unroll]] for (uint step = 0; step < OTHERS; step += STEP) {
            bool meets = own < t.rows && first + step < end;
            if (CAUSAL != 0u && OF_KEYS != 0u) meets = meets && first + step + STEP > place_in_sequence;
            if (CAUSAL != 0u && OF_KEYS == 0u) meets = meets && first + step < place_in_sequence + MM;
            if (meets) multiply(slice, step);
            fence();
            if (meets) read_slice(r);
            fence();
            if (meets) write_slice(t, r, first, step);
            fence();
            if (meets) accumulate(slice, step);
            fence();
        }
    }
    STORE(d_qk, OF_KEYS, p.scale * LN_2)
    if (OF_KEYS != 0u) STORE(d_value, 2, 1)
}
