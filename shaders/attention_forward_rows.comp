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
#include "shaders/attention_forward.glsl"
#ifdef POINTER
#define PUSH_ADDRESSES uint64_t qkv_address;
#else
#define PUSH_ADDRESSES
#endif
// LANE_ROWS rows share what it costs to load KEYS keys. Timed: with 8 keys, texel buffers are no faster and take twice the
// time to compile, even from the driver's cache; with 4, pointers are a quarter slower.
#ifdef POINTER
const uint LANE_ROWS = 1, KEYS = 8;
#else
const uint LANE_ROWS = 2, KEYS = 4;
#endif
#include "shaders/attention_rows.glsl"
ROWS_SOURCE(qkv, 2)
layout(push_constant) uniform Push { PUSH_ADDRESSES AttentionForwardPush p; };

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
            q[r][d] = inside_head(h, d, LOAD_WORD(qkv, row * p.qkv_pitch4 + head_word(h, d))) * p.scale;
            o[r][d] = vec4(0);
        }
        largest[r] = MASKED;
        sum[r] = 0;
    }
    const uint keys = keys_of(t), zero = counts[0];
    // Asked twice for Mesa 26's llvmpipe, as in matmul_packed.comp: 8 x 128 tokens take 4.6 ms in place of 5.6.
    for (uint first = 0; first < keys; first += KEYS) if (first + zero < keys) {
        float s[LANE_ROWS][KEYS];
        const Rows key_rows = ROWS_AT(qkv, t, first, p.qkv_pitch4, p.hidden4 + h.first4);
        [[unroll]] for (uint i = 0; i < LANE_ROWS * KEYS; i++) s[i / KEYS][i % KEYS] = 0;
        [[unroll]] for (uint d = 0; d < HEAD4; d++)
            [[unroll]] for (uint four = 0; four < KEYS / 4; four++) {
                const Four key = LOAD_FOUR(qkv, key_rows, h, four, d);
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
        const Rows value_rows = ROWS_AT(qkv, t, first, p.qkv_pitch4, 2 * p.hidden4 + h.first4);
        [[unroll]] for (uint d = 0; d < HEAD4; d++) {
            vec4 x[LANE_ROWS];
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) x[r] = o[r][d] * shrink[r];
            [[unroll]] for (uint four = 0; four < KEYS / 4; four++) {
                const Four value = LOAD_FOUR(qkv, value_rows, h, four, d);
                [[unroll]] for (uint i = 0; i < LANE_ROWS * 4; i++) x[i / 4] += s[i / 4][4 * four + i % 4] * value.v[i % 4];
            }
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) o[r][d] = x[r];
        }
    }
    uint rows[LANE_ROWS];
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        rows[r] = gl_LocalInvocationID.x + r * LOCAL_SIZE;
        if (KEEP_LOGSUMEXP != 0u && rows[r] < t.rows)
            logsumexp[(t.row + rows[r]) * p.heads + h.index] = natural_logsumexp(largest[r], sum[r]);
        sum[r] = 1.0 / sum[r];
    }
#define STORE_ROW(r, d, from) \
    if (rows[r] < t.rows) store_output(h, (t.row + rows[r]) * p.output_pitch4, d, o[r][from] * sum[r]);
#ifdef POINTER
    [[unroll]] for (uint d = 0; d < HEAD4; d++) STORE_ROW(0, d, d)
#else
    // One store in a loop, where the head's vec4s move up, takes a quarter less time to compile (Mesa 22.3), at 1 to 2% of 128 tokens'.
    uint d = 0;
    [[dont_unroll]] do {
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            STORE_ROW(r, d, 0)
            [[unroll]] for (uint i = 1; i < HEAD4; i++) o[r][i - 1] = o[r][i];
        }
    } while (++d < HEAD4);
#endif
}
