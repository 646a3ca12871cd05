#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// d_qkv(T,3H) of attention over packed sequences, for CPU drivers: no shared memory, no barrier; attention_backward.glsl has
// the equations.
//
// As in attention_forward_rows.comp, one workgroup a (tile of 16 own rows, head), each lane LANE_ROWS whole rows: both
// vectors of a row, its gradients and its statistics live in one lane, and all lanes read the same other rows, KEYS at a
// time, through what attention_rows.glsl has.
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
#include "shaders/attention_backward.glsl"
#ifdef POINTER
#define PUSH_ADDRESSES uint64_t qkv_address, d_output_address;
const uint LANE_ROWS = 1, KEYS = 4;
#else
#define PUSH_ADDRESSES
const uint LANE_ROWS = 2, KEYS = 4;
#endif
#include "shaders/attention_rows.glsl"
ROWS_SOURCE(qkv, 2)
ROWS_SOURCE(d_output, 6)
layout(push_constant) uniform Push { PUSH_ADDRESSES AttentionBackwardPush p; };

const uint VALUE_WORDS = OF_KEYS != 0 ? HEAD4 : 1;

vec4 own_word(Head h, bool vg, uint row, uint d) {
    const uint word = head_word(h, d), part = OF_KEYS == 0u ? 0 : vg ? 2 : 1;
    vec4 v;
    if (OF_KEYS == 0u && vg)
        v = LOAD_WORD(d_output, row * p.d_output_pitch4 + word);
    else
        v = LOAD_WORD(qkv, row * p.qkv_pitch4 + part * p.hidden4 + word);
    return inside_head(h, d, v);
}
Rows other_rows(Tile t, Head h, bool vg, uint first) {
    const uint part = OF_KEYS != 0u ? 0 : vg ? 2 : 1;
    if (OF_KEYS != 0u && vg) return ROWS_AT(d_output, t, first, p.d_output_pitch4, h.first4);
    return ROWS_AT(qkv, t, first, p.qkv_pitch4, part * p.hidden4 + h.first4);
}
Four other_words(Rows rows, Head h, bool vg, uint d) {
    if (OF_KEYS != 0u && vg) return LOAD_FOUR(d_output, rows, h, 0, d);
    return LOAD_FOUR(qkv, rows, h, 0, d);
}

// Logsumexp and delta of four queries.
#ifdef POINTER
void other_statistics(Tile t, Head h, uint first, out vec4 other_logsumexp, out vec4 other_delta) {
    [[unroll]] for (uint k = 0; k < 4; k++) {
        const uint i = (t.first + min(first + k, t.keys - 1)) * p.heads + h.index;
        other_logsumexp[k] = logsumexp[i];
        other_delta[k] = delta[i];
    }
}
#else
void other_statistics(Tile t, Head h, uint first, out vec4 other_logsumexp, out vec4 other_delta) {
    const uint row = t.first + min(first + gl_SubgroupInvocationID % 4, t.keys - 1);
    const uint i = row * p.heads + h.index;
    const Four four = of_quad(vec4(logsumexp[i], delta[i], 0, 0));
    [[unroll]] for (uint k = 0; k < 4; k++) {
        other_logsumexp[k] = four.v[k].x;
        other_delta[k] = four.v[k].y;
    }
}
#endif

void main() {
    const Tile t = tiles[gl_WorkGroupID.x];
    const Head h = head_of(gl_WorkGroupID.y);
#ifdef POINTER
    if (gl_LocalInvocationID.x >= t.rows) return;  // whole subgroups, where they are narrower than a tile
#endif
    vec4 qk[LANE_ROWS][HEAD4], vg[LANE_ROWS][HEAD4], d_qk[LANE_ROWS][HEAD4], d_value[LANE_ROWS][VALUE_WORDS];
    float own_logsumexp[LANE_ROWS], own_delta[LANE_ROWS];
    uvec4 drops[LANE_ROWS];  // of queries: bytes of dropout, those of the next keys first
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        const uint row = t.row + min(gl_LocalInvocationID.x + r * LOCAL_SIZE, t.rows - 1);
        own_delta[r] = 0;
        [[unroll]] for (uint d = 0; d < HEAD4; d++) {
            qk[r][d] = own_word(h, false, row, d) * p.scale;
            vg[r][d] = own_word(h, true, row, d);
            d_qk[r][d] = vec4(0);
            if (OF_KEYS == 0u)
                own_delta[r] += dot(vg[r][d], UNPACK4(forward_output[row * p.output_pitch4 + head_word(h, d)]));
        }
        [[unroll]] for (uint d = 0; d < VALUE_WORDS; d++) d_value[r][d] = vec4(0);
        if (OF_KEYS == 0u) {
            own_logsumexp[r] = logsumexp[row * p.heads + h.index];
            if (gl_LocalInvocationID.x + r * LOCAL_SIZE < t.rows) delta[row * p.heads + h.index] = own_delta[r];
        }
    }
    const uint end = end_other(t);
    for (uint first = first_other(t); first < end; first += KEYS) {
        const Rows qk_rows = other_rows(t, h, false, first), vg_rows = other_rows(t, h, true, first);
        float s[LANE_ROWS][KEYS], d_weight[LANE_ROWS][KEYS];
        [[unroll]] for (uint i = 0; i < LANE_ROWS * KEYS; i++) s[i / KEYS][i % KEYS] = d_weight[i / KEYS][i % KEYS] = 0;
        [[unroll]] for (uint d = 0; d < HEAD4; d++) {
            const Four other_qk = other_words(qk_rows, h, false, d), other_vg = other_words(vg_rows, h, true, d);
            [[unroll]] for (uint i = 0; i < LANE_ROWS * KEYS; i++) {
                const vec4 a = qk[i / KEYS][d] * other_qk.v[i % KEYS], b = vg[i / KEYS][d] * other_vg.v[i % KEYS];
                s[i / KEYS][i % KEYS] += (a.x + a.y) + (a.z + a.w);
                d_weight[i / KEYS][i % KEYS] += (b.x + b.y) + (b.z + b.w);
            }
        }
        vec4 other_logsumexp, other_delta;
        uvec4 query_drops[KEYS];  // of keys: for the queries
        if (OF_KEYS != 0u) other_statistics(t, h, first, other_logsumexp, other_delta);
        if (OF_KEYS != 0u && KEPT < 256u)
            [[unroll]] for (uint k = 0; k < KEYS; k++)
                query_drops[k] = attention_dropout_bytes(h, p.dropout_site, t.first + first + k, t.row - t.first);
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            const uint i = gl_LocalInvocationID.x + r * LOCAL_SIZE, position = t.row + min(i, t.rows - 1) - t.first;
            vec4 factors = vec4(1);
            if (OF_KEYS == 0u && KEPT < 256u) {
                if (first % 16 == 0) drops[r] = attention_dropout_bytes(h, p.dropout_site, t.first + position, first);
                factors = dropout_factors(drops[r].x, KEPT);
                drops[r] = drops[r].yzwx;
            }
            [[unroll]] for (uint k = 0; k < KEYS; k++) {
                if (OF_KEYS != 0u && KEPT < 256u) factors[k] = byte_factor(query_drops[k], i % 16);
                const Weights w = weigh(meet(t, position, first + k), s[r][k], d_weight[r][k],
                                        OF_KEYS != 0u ? other_logsumexp[k] : own_logsumexp[r],
                                        OF_KEYS != 0u ? other_delta[k] : own_delta[r], factors[k]);
                s[r][k] = w.dropped;
                d_weight[r][k] = w.d_score;
            }
        }
        [[unroll]] for (uint d = 0; d < HEAD4; d++) {
            const Four other_qk = other_words(qk_rows, h, false, d);
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                vec4 x = d_qk[r][d];
                [[unroll]] for (uint k = 0; k < KEYS; k++) x += d_weight[r][k] * other_qk.v[k];
                d_qk[r][d] = x;
            }
        }
        [[unroll]] for (uint d = 0; d < VALUE_WORDS && OF_KEYS != 0u; d++) {
            const Four other_vg = other_words(vg_rows, h, true, d);
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                vec4 x = d_value[r][d];
                [[unroll]] for (uint k = 0; k < KEYS; k++) x += s[r][k] * other_vg.v[k];
                d_value[r][d] = x;
            }
        }
    }
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        const uint row = gl_LocalInvocationID.x + r * LOCAL_SIZE, row4 = (t.row + row) * p.d_qkv_pitch4;
        if (row < t.rows) {
            [[unroll]] for (uint d = 0; d < HEAD4; d++)
                store_output(h, row4 + OF_KEYS * p.hidden4, d, d_qk[r][d] * (p.scale * LN_2));
            [[unroll]] for (uint d = 0; d < VALUE_WORDS && OF_KEYS != 0u; d++)
                store_output(h, row4 + 2 * p.hidden4, d, d_value[r][d]);
        }
    }
}
