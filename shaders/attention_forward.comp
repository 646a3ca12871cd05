#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// output(T,H) = softmax(Q K^T / sqrt(D)) V per head over packed sequences, for GPUs.
//
// One workgroup of 64 a (tile of 16 query rows, head). LANES invocations share a row: its keys in the softmax, and the vec4s
// of its output. Blocks of KEYS keys, then of their values, stream through shared memory, which bounds the loops over them:
// the more rows a lane serves, the more multiply-adds for what it reads. With one part a lane serves its OWN rows. With two
// PARTS it serves those of its counterpart in the other part too, over half of the head in products of queries and keys and
// over half of the keys in sums of values, and both exchange what they have of one another's rows. The softmax is online
// (Milakov & Gimelshein 2018, algorithm 3).
#include "shaders/common.glsl"
layout(constant_id = 5) const uint KEYS = 32;  // a multiple of 8 that fits the shared memory
layout(constant_id = 6) const uint PARTS = 1;  // 1, or 2 where HEAD4 is even and at most 32
#include "shaders/attention.glsl"
#include "shaders/attention_forward.glsl"

const uint ROWS = 16, LANES = 8, OWN = 2, HELD = OWN * PARTS, GROUPS = ROWS / HELD;
const uint STRIDE = HEAD4 + 1;            // of shared rows, against bank conflicts
const bool SHARED_QUERIES = HEAD4 <= 32;  // else they are read again from memory
const uint PART_WORDS = HEAD4 / PARTS, PART_KEYS = KEYS / PARTS;
const uint DROP_WORDS = KEPT < 256 ? (KEYS + 15) / 16 * 4 : 1;  // of a row, four keys each
const uint LANE_KEYS = KEYS / LANES, LANE_WORDS = (HEAD4 + LANES - 1) / LANES;
// Steps of the loop over keys in a row: enough to hide a load, few enough for registers and instruction caches.
const uint KEY_STEPS = HELD * LANE_WORDS > 8 ? 1 : 2;

layout(std430, binding = 2) readonly buffer Qkv { STORED4 qkv[]; };
layout(push_constant) uniform Push { AttentionForwardPush p; };

shared vec4 queries[SHARED_QUERIES ? ROWS * STRIDE : 1];  // in the end, sums of the other part's rows
shared vec4 block[KEYS * STRIDE];                         // keys, then values
shared vec2 weights[KEYS * ROWS / OWN];                   // scores of the other part's rows, then exp2(score - largest)
shared vec2 shrinks[ROWS / OWN];                          // exp2(largest before - largest)
shared vec4 exchange[ROWS * LANES / 4];                   // a float of each lane
shared uint drops[KEPT < 256 ? ROWS * DROP_WORDS : 1];    // bytes of dropout for the block of keys

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
// Of key first + lane + k * LANES.
float drop_factor(uint row, uint first, uint lane, uint k) {
    const uint word = drops[row * DROP_WORDS + (first % 16 + lane) / 4 + k * (LANES / 4)];
    return dropout_factors(word >> 8 * (lane % 4), KEPT).x;
}

struct Place { uint lane, group, part; };
uint row_of(Place at, uint part, uint i) { return at.group + (part * OWN + i) * GROUPS; }
// The own rows among the pairs of weights and shrinks: both parts of a group lie side by side, to be read at once.
uint own_pair(Place at) { return at.group * PARTS + at.part; }

// A float of own row r for the other lanes of the row, and those of all of them.
void give(Place at, uint r, float v) {
    exchange[row_of(at, at.part, r) * (LANES / 4) + at.lane / 4][at.lane % 4] = v;
}
vec4 given(Place at, uint r, uint i) { return exchange[row_of(at, at.part, r) * (LANES / 4) + i]; }

void score(Tile t, Head h, Place at, out float s[OWN][LANE_KEYS]) {
    float all[HELD][LANE_KEYS];  // of half of the head with two parts; the own rows first
    [[unroll]] for (uint r = 0; r < HELD; r++)
        [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) all[r][k] = 0;
    [[dont_unroll]] for (uint word = 0; word < PART_WORDS; word++) {
        const uint d = at.part * PART_WORDS + word;
        vec4 q[HELD];
        [[unroll]] for (uint r = 0; r < HELD; r++)
            q[r] = shared_query(t, h, row_of(at, at.part ^ r / OWN, r % OWN), d);
        [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
            const vec4 key = block[(at.lane + k * LANES) * STRIDE + d];
            [[unroll]] for (uint r = 0; r < HELD; r++) all[r][k] += dot(q[r], key);
        }
    }
    [[unroll]] for (uint r = 0; r < OWN; r++)
        [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) s[r][k] = all[r][k];
    if (PARTS == 2u) {
        [[unroll]] for (uint k = 0; k < LANE_KEYS; k++)
            weights[k * LOCAL_SIZE + gl_LocalInvocationID.x] = vec2(all[HELD - OWN][k], all[HELD - 1][k]);
        barrier();
        [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
            const vec2 other = weights[k * LOCAL_SIZE + (gl_LocalInvocationID.x ^ LOCAL_SIZE / 2)];
            [[unroll]] for (uint r = 0; r < OWN; r++) s[r][k] += other[r];
        }
    }
}

// The largest score of each own row that this lane has, for the others.
void mask(Tile t, Place at, uint first, inout float s[OWN][LANE_KEYS]) {
    [[unroll]] for (uint r = 0; r < OWN; r++) {
        const uint row = row_of(at, at.part, r);
        const uint seen = CAUSAL != 0u ? min(t.keys, t.row + min(row, t.rows - 1) - t.first + 1) : t.keys;
        float lane_largest = MASKED;
        [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
            if (first + at.lane + k * LANES >= seen) s[r][k] = MASKED;
            lane_largest = max(lane_largest, s[r][k]);
        }
        give(at, r, lane_largest);
    }
}

// Weights from scores. Returns what the sums of the own rows shrink by.
vec2 weigh(Place at, uint first, float s[OWN][LANE_KEYS], inout float largest[OWN], inout float sum[OWN]) {
    vec2 shrink;
    [[unroll]] for (uint r = 0; r < OWN; r++) {
        const vec4 most = max(given(at, r, 0), given(at, r, 1));
        const float now = max(max(max(most.x, most.y), max(most.z, most.w)), largest[r]);
        shrink[r] = exp2(largest[r] - now);
        largest[r] = now;
        sum[r] *= shrink[r];
    }
    if (PARTS == 2u && at.lane == 0) shrinks[own_pair(at)] = shrink;
    [[unroll]] for (uint k = 0; k < LANE_KEYS; k++) {
        const uint key = at.lane + k * LANES;
        vec2 weight;
        [[unroll]] for (uint r = 0; r < OWN; r++) {
            weight[r] = exp2(s[r][k] - largest[r]);
            sum[r] += weight[r];
            if (KEPT < 256u) weight[r] *= drop_factor(row_of(at, at.part, r), first, at.lane, k);
        }
        weights[key * (ROWS / OWN) + own_pair(at)] = weight;
    }
    return shrink;
}

void add_values(Place at, vec2 own_shrink, inout vec4 o[HELD][LANE_WORDS]) {
    [[unroll]] for (uint r = 0; r < HELD; r++) {
        const vec2 shrink = PARTS == 1u ? own_shrink : shrinks[at.group * PARTS + r / OWN];
        [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) o[r][w] *= shrink[r % OWN];
    }
    [[dont_unroll]] for (uint key = 0; key < PART_KEYS; key += KEY_STEPS)
        [[unroll]] for (uint i = 0; i < KEY_STEPS; i++) {
            const uint k = at.part * PART_KEYS + key + i;
            vec2 weight[PARTS];
            [[unroll]] for (uint j = 0; j < PARTS; j++) weight[j] = weights[k * (ROWS / OWN) + at.group * PARTS + j];
            [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) {
                const vec4 value = block[k * STRIDE + min(at.lane + w * LANES, HEAD4 - 1)];
                [[unroll]] for (uint r = 0; r < HELD; r++) o[r][w] += weight[r / OWN][r % OWN] * value;
            }
        }
}

// The sums of the own rows over all keys, from those of each part.
void join_parts(Place at, vec4 o[HELD][LANE_WORDS], out vec4 own[OWN][LANE_WORDS]) {
    [[unroll]] for (uint r = 0; r < OWN; r++)
        [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) {
            own[r][w] = at.part == 0 ? o[r][w] : o[HELD - OWN + r][w];
            const uint d = at.lane + w * LANES;
            if (PARTS == 2u && d < HEAD4)
                queries[row_of(at, at.part ^ 1, r) * STRIDE + d] = at.part == 0 ? o[HELD - OWN + r][w] : o[r][w];
        }
    barrier();
    if (PARTS == 2u)
        [[unroll]] for (uint r = 0; r < OWN; r++)
            [[unroll]] for (uint w = 0; w < LANE_WORDS; w++)
                own[r][w] += queries[row_of(at, at.part, r) * STRIDE + min(at.lane + w * LANES, HEAD4 - 1)];
}

void main() {
    const Tile t = tiles[gl_WorkGroupID.x];
    const Head h = head_of(gl_WorkGroupID.y);
    const uint id = gl_LocalInvocationID.x;
    const Place at = Place(id % LANES, id / LANES % GROUPS, PARTS == 1u ? 0 : id / (LANES * GROUPS));
    if (SHARED_QUERIES)
        for (uint i = id; i < ROWS * HEAD4; i += LOCAL_SIZE)
            queries[i / HEAD4 * STRIDE + i % HEAD4] = query(t, h, i / HEAD4, i % HEAD4);

    vec4 o[HELD][LANE_WORDS];
    [[unroll]] for (uint r = 0; r < HELD; r++)
        [[unroll]] for (uint w = 0; w < LANE_WORDS; w++) o[r][w] = vec4(0);
    float largest[OWN], sum[OWN];  // of the row; of the keys of this lane
    [[unroll]] for (uint r = 0; r < OWN; r++) {
        largest[r] = MASKED;
        sum[r] = 0;
    }
    const uint keys = keys_of(t);
    for (uint first = 0; first < keys; first += KEYS) {
        barrier();
        load_block(t, h, 1, first);
        if (KEPT < 256u) load_drops(t, h, first);
        barrier();
        float s[OWN][LANE_KEYS];
        score(t, h, at, s);
        mask(t, at, first, s);
        barrier();
        load_block(t, h, 2, first);
        const vec2 shrink = weigh(at, first, s, largest, sum);
        barrier();
        add_values(at, shrink, o);
    }
    barrier();
    [[unroll]] for (uint r = 0; r < OWN; r++) give(at, r, sum[r]);
    vec4 own[OWN][LANE_WORDS];
    join_parts(at, o, own);
    [[unroll]] for (uint r = 0; r < OWN; r++) {
        const uint row = row_of(at, at.part, r);
        const float total = dot(given(at, r, 0) + given(at, r, 1), vec4(1));
        if (row < t.rows) {
            [[unroll]] for (uint w = 0; w < LANE_WORDS; w++)
                if (at.lane + w * LANES < HEAD4)
                    store_output(h, (t.row + row) * p.output_pitch4, at.lane + w * LANES, own[r][w] * (1.0 / total));
            if (KEEP_LOGSUMEXP != 0u && at.lane == 0)
                logsumexp[(t.row + row) * p.heads + h.index] = natural_logsumexp(largest[r], total);
        }
    }
}
