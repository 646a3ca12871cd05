#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// output(T,H) = softmax(Q K^T / sqrt(D)) V per head over packed sequences, for CPU drivers: no shared memory, no barrier.
//
// One workgroup a (tile of 16 query rows, head), each lane LANE_ROWS whole rows: queries, output and softmax statistics
// of a row live in one lane, and all lanes read the same keys and values, KEYS at a time.
//   -DPOINTER  through a device address that is uniform over the workgroup: one scalar load feeds all lanes
//   otherwise  through a texel buffer: each lane of a quad fetches another key and hands it to the other three
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
#ifdef POINTER
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#ifdef FP16
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words { uvec2 at[]; };
#else
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words { vec4 at[]; };
#endif
layout(std430, binding = 2) readonly buffer Qkv { STORED4 qkv[]; };
layout(push_constant) uniform Push { uint64_t qkv_address; AttentionForwardPush p; };
#define LOAD_QKV(i) UNPACK4(qkv[i])
#else
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_quad : require
#include "shaders/texel.glsl"
layout(binding = 2) uniform TEXELS4 qkv_texels;
#define LOAD_QKV(i) FETCH4(qkv_texels, i)
layout(push_constant) uniform Push { AttentionForwardPush p; };
#endif

// LANE_ROWS rows share what it costs to load KEYS keys. Timed: with 8 keys, texel buffers are no faster and take twice the
// time to compile, even from the driver's cache; with 4, pointers are a quarter slower.
#ifdef POINTER
const uint LANE_ROWS = 1, KEYS = 8;
#else
const uint LANE_ROWS = 2, KEYS = 4;
#endif

// Where KEYS rows of keys or values begin; those past the end repeat the last.
#ifdef POINTER
struct Rows { uint64_t row[KEYS]; };
Rows rows_at(Tile t, Head h, uint part, uint first) {
    Rows rows;
    [[unroll]] for (uint i = 0; i < KEYS; i++) {
        const uint row = t.first + min(first + i, t.keys - 1);
        const uint word = row * p.qkv_pitch4 + part * p.hidden4 + h.first4;
        rows.row[i] = qkv_address + uint64_t(word) * STORED4_BYTES;
    }
    return rows;
}
#else
struct Rows { uint row[KEYS / 4]; };  // of this lane of the quad
Rows rows_at(Tile t, Head h, uint part, uint first) {
    Rows rows;
    [[unroll]] for (uint i = 0; i < KEYS / 4; i++) {
        const uint row = t.first + min(first + 4 * i + gl_SubgroupInvocationID % 4, t.keys - 1);
        rows.row[i] = row * p.qkv_pitch4 + part * p.hidden4 + h.first4;
    }
    return rows;
}
#endif

// vec4 d of four of the rows.
struct Four { vec4 v[4]; };
Four load(Rows rows, Head h, uint four, uint d) {
    const uint word = head_word(h, d) - h.first4;
    Four result;
#ifdef POINTER
    [[unroll]] for (uint i = 0; i < 4; i++) result.v[i] = UNPACK4(Words(rows.row[4 * four + i]).at[word]);
#else
    const vec4 mine = LOAD_QKV(rows.row[four] + word);
    result.v[0] = subgroupQuadBroadcast(mine, 0);
    result.v[1] = subgroupQuadBroadcast(mine, 1);
    result.v[2] = subgroupQuadBroadcast(mine, 2);
    result.v[3] = subgroupQuadBroadcast(mine, 3);
#endif
    return result;
}

void main() {
    const Tile t = tiles[gl_WorkGroupID.x];
    const Head h = head_of(gl_WorkGroupID.y);
#ifdef POINTER
    if (gl_LocalInvocationID.x >= t.rows) return;  // whole subgroups, where they are narrower than a tile
#endif
    vec4 q[LANE_ROWS][HEAD4], o[LANE_ROWS][HEAD4];
    float largest[LANE_ROWS], sum[LANE_ROWS];
    uvec4 drops[LANE_ROWS];  // bytes of dropout, those of the next keys first
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        const uint row = t.row + min(gl_LocalInvocationID.x + r * LOCAL_SIZE, t.rows - 1);
        [[unroll]] for (uint d = 0; d < HEAD4; d++) {
            q[r][d] = inside_head(h, d, LOAD_QKV(row * p.qkv_pitch4 + head_word(h, d))) * p.scale;
            o[r][d] = vec4(0);
        }
        largest[r] = MASKED;
        sum[r] = 0;
    }
    const uint keys = keys_of(t);
    for (uint first = 0; first < keys; first += KEYS) {
        float s[LANE_ROWS][KEYS];
        const Rows key_rows = rows_at(t, h, 1, first);
        [[unroll]] for (uint i = 0; i < LANE_ROWS * KEYS; i++) s[i / KEYS][i % KEYS] = 0;
        [[unroll]] for (uint d = 0; d < HEAD4; d++)
            [[unroll]] for (uint four = 0; four < KEYS / 4; four++) {
                const Four key = load(key_rows, h, four, d);
                [[unroll]] for (uint i = 0; i < LANE_ROWS * 4; i++) {
                    const vec4 a = q[i / 4][d], b = key.v[i % 4];
                    float x = s[i / 4][4 * four + i % 4];
                    x += a.x * b.x;
                    x += a.y * b.y;
                    x += a.z * b.z;
                    x += a.w * b.w;
                    s[i / 4][4 * four + i % 4] = x;
                }
            }
        float shrink[LANE_ROWS];
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            const uint row = t.row + min(gl_LocalInvocationID.x + r * LOCAL_SIZE, t.rows - 1);
            const uint seen = CAUSAL != 0u ? min(t.keys, row - t.first + 1) : t.keys;
            float now = largest[r];
            [[unroll]] for (uint k = 0; k < KEYS; k++) {
                s[r][k] = first + k < seen ? s[r][k] : MASKED;
                now = max(now, s[r][k]);
            }
            shrink[r] = exp2(largest[r] - now);
            largest[r] = now;
            sum[r] *= shrink[r];
            [[unroll]] for (uint k = 0; k < KEYS; k++) {
                s[r][k] = exp2(s[r][k] - now);
                sum[r] += s[r][k];
            }
            if (KEPT < 256u) {
                if (first % 16 == 0) drops[r] = attention_dropout_bytes(h, p.dropout_site, row, first);
                [[unroll]] for (uint four = 0; four < KEYS / 4; four++) {
                    const vec4 factors = dropout_factors(drops[r].x, KEPT);
                    drops[r] = drops[r].yzwx;
                    [[unroll]] for (uint k = 0; k < 4; k++) s[r][4 * four + k] *= factors[k];
                }
            }
        }
        const Rows value_rows = rows_at(t, h, 2, first);
        [[unroll]] for (uint d = 0; d < HEAD4; d++) {
            vec4 x[LANE_ROWS];
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) x[r] = o[r][d] * shrink[r];
            [[unroll]] for (uint four = 0; four < KEYS / 4; four++) {
                const Four value = load(value_rows, h, four, d);
                [[unroll]] for (uint i = 0; i < LANE_ROWS * 4; i++) x[i / 4] += s[i / 4][4 * four + i % 4] * value.v[i % 4];
            }
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) o[r][d] = x[r];
        }
    }
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        const uint row = gl_LocalInvocationID.x + r * LOCAL_SIZE;
        if (row < t.rows) {
            const float scale = 1.0 / sum[r];
            [[unroll]] for (uint d = 0; d < HEAD4; d++) store_output(h, p.output_pitch, t.row + row, d, o[r][d] * scale);
            if (KEEP_LOGSUMEXP != 0u)
                logsumexp[(t.row + row) * p.heads + h.index] = natural_logsumexp(largest[r], sum[r]);
        }
    }
}
