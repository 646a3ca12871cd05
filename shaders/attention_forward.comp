#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// output(T,H) = softmax(Q K^T / sqrt(D)) V per head over packed sequences, for GPUs.
//
// One workgroup of 64 a (tile of 16 query rows, head): invocation i serves rows i / 8 and i / 8 + 8 as lane i % 8 of
// each. Blocks of KEYS keys, then of their values, stream through shared memory; a lane has the scores of every eighth
// key, then every eighth vec4 of the output, in registers. The softmax is online (Milakov & Gimelshein 2018, algorithm 3).
#include "shaders/common.glsl"
layout(constant_id = 5) const uint KEYS = 32;  // a multiple of 8 that fits the shared memory
#include "shaders/attention.glsl"
#include "shaders/attention_forward.glsl"

const uint ROWS = 16, LANES = 8, PAIRS = ROWS / LANES, GROUPS = ROWS / PAIRS;
const uint STRIDE = HEAD4 + 1;                           // of shared rows, against bank conflicts
const bool SHARED_QUERIES = HEAD4 <= 32;                 // else they are read again from memory
// Steps of the inner loops in a row: enough to hide a load, few enough for registers and instruction caches.
const uint WORD_STEPS = HEAD4 % 4 == 0 ? 4 : HEAD4 % 2 == 0 ? 2 : 1, KEY_STEPS = 4;
const uint DROP_WORDS = KEPT < 256 ? (KEYS + 15) / 16 * 4 : 1;  // of a row, four keys each
const uint LANE_KEYS = KEYS / LANES, LANE_WORDS = (HEAD4 + LANES - 1) / LANES;

layout(std430, binding = 2) readonly buffer Qkv { STORED4 qkv[]; };
layout(push_constant) uniform Push { AttentionForwardPush p; };

shared vec4 queries[SHARED_QUERIES ? ROWS * STRIDE : 1];
shared vec4 block[KEYS * STRIDE];                        // keys, then values
shared float weights[ROWS * (KEYS + 1)];                 // exp2(score - largest)
shared float exchange[ROWS * LANES];
shared uint drops[KEPT < 256 ? ROWS * DROP_WORDS : 1];   // bytes of dropout for the block of keys

vec4 query(Tile t, Head h, uint row, uint d) {
    const uint word = (t.row + min(row, t.rows - 1)) * p.qkv_pitch4 + head_word(h, d);
    return inside_head(h, d, UNPACK4(qkv[word])) * p.scale;
}
vec4 shared_query(Tile t, Head h, uint row, uint d) {
    return SHARED_QUERIES ? queries[row * STRIDE + d] : query(t, h, row, d);
}

// Rows [first, first + KEYS) of keys (part 1) or values (part 2) into shared memory; rows past the end repeat the last.
void load_block(Tile t, Head h, uint part, uint first) {
    for (uint i = gl_LocalInvocationID.x; i < KEYS * HEAD4; i += LOCAL_SIZE) {
        const uint row = t.first + min(first + i / HEAD4, t.keys - 1);
        block[i / HEAD4 * STRIDE + i % HEAD4] =
            UNPACK4(qkv[row * p.qkv_pitch4 + part * p.hidden4 + head_word(h, i % HEAD4)]);
    }
}

// Fills drops for keys [first, first + KEYS); first is a multiple of 8, so that KEYS keys touch no further 16.
void load_drops(Tile t, Head h, uint first) {
    for (uint i = gl_LocalInvocationID.x; i < ROWS * DROP_WORDS / 4; i += LOCAL_SIZE) {
        const uint row = i / (DROP_WORDS / 4), key = first + i % (DROP_WORDS / 4) * 16;
        const uvec4 bytes = attention_dropout_bytes(h, p.dropout_site, t.row + row, key);
        [[unroll]] for (uint w = 0; w < 4; w++) drops[4 * i + w] = bytes[w];
    }
}
float drop_factor(uint row, uint first, uint key) {
    const uint word = drops[row * DROP_WORDS + (key - first / 16 * 16) / 4];
    return dropout_factors(word >> 8 * (key % 4), KEPT).x;
}

void main() {
    const Tile t = tiles[gl_WorkGroupID.x];
    const Head h = head_of(gl_WorkGroupID.y);
    const uint lane = gl_LocalInvocationID.x % LANES, group = gl_LocalInvocationID.x / LANES;
    if (SHARED_QUERIES)
        for (uint i = gl_LocalInvocationID.x; i < ROWS * HEAD4; i += LOCAL_SIZE)
            queries[i / HEAD4 * STRIDE + i % HEAD4] = query(t, h, i / HEAD4, i % HEAD4);

    vec4 o[PAIRS][LANE_WORDS];
    float largest[PAIRS], sum[PAIRS];  // of the row; of the keys of this lane
    [[unroll]] for (uint r = 0; r < PAIRS; r++) {
        [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) o[r][w] = vec4(0);
        largest[r] = MASKED;
        sum[r] = 0;
    }
    const uint keys = keys_of(t);
    for (uint first = 0; first < keys; first += KEYS) {
        barrier();
        load_block(t, h, 1, first);
        if (KEPT < 256u) load_drops(t, h, first);
        barrier();
        float s[PAIRS][LANE_KEYS];
        [[unroll]] for (uint r = 0; r < PAIRS; r++)
            [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) s[r][k] = 0;
        [[dont_unroll]] for (uint word = 0; word < HEAD4; word += WORD_STEPS)
            [[unroll]] for (uint d = word; d < word + WORD_STEPS; d++) {
                vec4 q[PAIRS];
                [[unroll]] for (uint r = 0; r < PAIRS; r++) q[r] = shared_query(t, h, group + r * GROUPS, d);
                [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
                    const vec4 key = block[(lane + k * LANES) * STRIDE + d];
                    [[unroll]] for (uint r = 0; r < PAIRS; r++) s[r][k] += dot(q[r], key);
                }
            }
        [[unroll]] for (uint r = 0; r < PAIRS; r++) {
            const uint row = group + r * GROUPS;
            float lane_largest = MASKED;
            [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
                const uint key = first + lane + k * LANES;
                const uint seen = CAUSAL != 0u ? min(t.keys, t.row + min(row, t.rows - 1) - t.first + 1) : t.keys;
                if (key >= seen) s[r][k] = MASKED;
                lane_largest = max(lane_largest, s[r][k]);
            }
            exchange[row * LANES + lane] = lane_largest;
        }
        barrier();
        load_block(t, h, 2, first);
        [[unroll]] for (uint r = 0; r < PAIRS; r++) {
            const uint row = group + r * GROUPS;
            float now = largest[r];
            [[unroll]] for (uint i = 0; i < LANES; i++) now = max(now, exchange[row * LANES + i]);
            const float shrink = exp2(largest[r] - now);
            largest[r] = now;
            sum[r] *= shrink;
            [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) o[r][w] *= shrink;
            [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
                float weight = exp2(s[r][k] - now);
                sum[r] += weight;
                if (KEPT < 256u) weight *= drop_factor(row, first, first + lane + k * LANES);
                weights[row * (KEYS + 1) + lane + k * LANES] = weight;
            }
        }
        barrier();
        [[dont_unroll]] for (uint key = 0; key < KEYS; key += KEY_STEPS)
            [[unroll]] for (uint k = key; k < key + KEY_STEPS; k++) {
                float weight[PAIRS];
                [[unroll]] for (uint r = 0; r < PAIRS; r++)
                    weight[r] = weights[(group + r * GROUPS) * (KEYS + 1) + k];
                [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) {
                    const vec4 value = block[k * STRIDE + min(lane + w * LANES, HEAD4 - 1)];
                    [[unroll]] for (uint r = 0; r < PAIRS; r++) o[r][w] += weight[r] * value;
                }
            }
    }
    barrier();
    [[unroll]] for (uint r = 0; r < PAIRS; r++) exchange[(group + r * GROUPS) * LANES + lane] = sum[r];
    barrier();
    [[unroll]] for (uint r = 0; r < PAIRS; r++) {
        const uint row = group + r * GROUPS;
        float total = 0;
        [[unroll]] for (uint i = 0; i < LANES; i++) total += exchange[row * LANES + i];
        if (row < t.rows) {
            [[unroll]] for (uint w = 0; w < LANE_WORDS; w++)
                if (lane + w * LANES < HEAD4)
                    store_output(h, (t.row + row) * p.output_pitch4, lane + w * LANES, o[r][w] * (1.0 / total));
            if (KEEP_LOGSUMEXP != 0u && lane == 0)
                logsumexp[(t.row + row) * p.heads + h.index] = natural_logsumexp(largest[r], total);
        }
    }
}
