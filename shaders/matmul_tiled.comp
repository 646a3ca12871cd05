#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef PAIRS
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#ifdef MIXED_DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
// C(M,N) = epilogue(op(A) op(B)), any orientation: shared-memory tiles for GPUs. A workgroup makes BM x BN of C, stepping
// BK along K (with k_part a part of K); an invocation makes TILE x TILE of it by outer products from registers.
//
// Both operands lie in shared memory as [k][row or column], so that the inner loop reads vec4s whatever the orientation:
// an invocation brings one 4x4 block of A or of B, or one of each, in each turn, and transposes it in registers where K is
// contiguous. The next turn's block is on its way while this one is computed. No subgroup operations. (BM+BN)/4 * BK/4 is
// LOCAL_SIZE, or twice that. With PAIRS (fp16, TILE 8) shared memory has the halves as they are, two of K side by side.
#define MATMUL_CONSTANTS 5
#include "shaders/matmul.glsl"
#include "shaders/repeat.glsl"

layout(constant_id = 1) const uint BM = 64;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint BK = 32;
layout(constant_id = 4) const uint UNROLLED = 1;  // turns of the inner loop, where the compiler should not choose

layout(std430, binding = 1) readonly buffer A { STORED4 a[]; };
layout(std430, binding = 2) readonly buffer B { STORED4 b[]; };
layout(push_constant) uniform Push { MatmulPush p; };

#ifdef PAIRS
// A step has a pair of halves, neighbours along K, of each of four rows or columns.
#define STEP4 uvec4
#define TO_STEP4(v) floatBitsToUint(v)
#define FROM_STEP4(v) uintBitsToFloat(v)
const uint STEPS = BK / 2;
#else
#define STEP4 vec4
#define TO_STEP4(v) (v)
#define FROM_STEP4(v) (v)
const uint STEPS = BK;
#endif
// One vector of padding a row: blocks that neighbouring invocations store do not fall on one bank.
const uint A_STRIDE = BM / 4 + 1, B_STRIDE = BN / 4 + 1;
shared STEP4 tile_a[STEPS * A_STRIDE];
shared STEP4 tile_b[STEPS * B_STRIDE];

const bool A_ALONG_K = ORIENTATION != ORIENTATION_TN, B_ALONG_K = ORIENTATION == ORIENTATION_NT;
const bool EVEN_STEPS = (EPILOGUE & EPILOGUE_EVEN_STEPS) != 0u;
const uint A_BLOCKS = (BM / 4) * (BK / 4);
// Whether each invocation brings a block of A and one of B, or the first ones of A and the others of B. Where B's is kept.
#if TILE == 8
const bool BRINGS_BOTH = LOCAL_SIZE == A_BLOCKS;
#else
const bool BRINGS_BOTH = false;
#endif
const uint OF_B = BRINGS_BOTH ? 1 : 0;

STORED4 block[8];
uvec4 at[2];             // of block's vectors in A or B, in the first turn
uint strip[2], step[2];  // where a block goes: 4 strip rows or columns from the tile's first, step of K

// Beyond the last row or column the last is repeated, and what comes of it is not stored. Kept from step to step: RADV would
// make the products and minima anew in each, which costs a tenth of the loop on GCN.
void find_block(uint of, uint index, uint strips, uint tile, bool along_k, uint limit, uint pitch4) {
    strip[of] = along_k ? index / (BK / 4) : index % strips;
    step[of] = 4 * (along_k ? index % (BK / 4) : index / strips);
    const uint place = tile * strips + strip[of];
    at[of] = along_k ? min(4 * place + uvec4(0, 1, 2, 3), uvec4(limit - 1)) * pitch4 + step[of] / 4
                     : (step[of] + uvec4(0, 1, 2, 3)) * pitch4 + min(place, (limit - 1) / 4);
}

// The block of A for the steps from k on, or of B, zeros beyond the last step.
#define FETCHED(of, i, source, along_k) \
    (EVEN_STEPS || k + step[of] + (along_k ? 0 : i) < depth ? source[at[of][i] + from] : STORED4(0))
#define FETCH_A(i) block[i] = FETCHED(0, i, a, A_ALONG_K);
#define FETCH_B(i) block[4 * OF_B + i] = FETCHED(OF_B, i, b, B_ALONG_K);
void fetch_a(uint k, uint depth) {
    const uint from = A_ALONG_K ? k / 4 : k * p.a_pitch4;
    REPEAT_4(FETCH_A)
}
void fetch_b(uint k, uint depth) {
    const uint from = B_ALONG_K ? k / 4 : k * p.b_pitch4;
    REPEAT_4(FETCH_B)
}

#ifdef PAIRS
uint first_halves(uint x, uint y) { return packFloat2x16(f16vec2(unpackFloat2x16(x).x, unpackFloat2x16(y).x)); }
uint second_halves(uint x, uint y) { return packFloat2x16(f16vec2(unpackFloat2x16(x).y, unpackFloat2x16(y).y)); }
uvec4 paired(uvec2 x, uvec2 y) {
    return uvec4(first_halves(x.x, y.x), second_halves(x.x, y.x), first_halves(x.y, y.y), second_halves(x.y, y.y));
}
#define HELD(of, along_k, i) \
    (along_k ? uvec4(block[4 * of][i], block[4 * of + 1][i], block[4 * of + 2][i], block[4 * of + 3][i]) \
             : paired(block[4 * of + 2 * i], block[4 * of + 2 * i + 1]))
#define PLACE_A(i) tile_a[(step[0] / 2 + i) * A_STRIDE + strip[0]] = HELD(0, A_ALONG_K, i);
#define PLACE_B(i) tile_b[(step[OF_B] / 2 + i) * B_STRIDE + strip[OF_B]] = HELD(OF_B, B_ALONG_K, i);
#define PLACE(BODY) BODY(0) BODY(1)
#else
#define UNPACKED(of, i) UNPACK4(block[4 * of + i])
#define HELD(of, along_k, i)                                                                                         \
    (along_k ? vec4(UNPACKED(of, 0)[i], UNPACKED(of, 1)[i], UNPACKED(of, 2)[i], UNPACKED(of, 3)[i]) : UNPACKED(of, i))
#define PLACE_A(i) tile_a[(step[0] + i) * A_STRIDE + strip[0]] = HELD(0, A_ALONG_K, i);
#define PLACE_B(i) tile_b[(step[OF_B] + i) * B_STRIDE + strip[OF_B]] = HELD(OF_B, B_ALONG_K, i);
#define PLACE(BODY) REPEAT_4(BODY)
#endif

#define BRING(DO_A, DO_B)   \
    if (BRINGS_BOTH) {      \
        DO_A; DO_B;         \
    } else if (brings_a) {  \
        DO_A;               \
    } else {                \
        DO_B;               \
    }

// The first column of workgroups sums the columns of A that it brings; there is no other reader of all of A.
bool sums_a() { return (EPILOGUE & EPILOGUE_A_SUMS) != 0u && gl_WorkGroupID.x == 0u; }

// From the sums of this invocation's share of the steps, if it brings A (tn), to those of all of them.
void add_a_sums(vec4 sum, bool brings_a, uint m, uint part) {
    barrier();
    if (brings_a) tile_a[step[0] / 4 * A_STRIDE + strip[0]] = TO_STEP4(sum);
    barrier();
    const uint me = gl_LocalInvocationID.x, column4 = gl_WorkGroupID.y * (BM / 4) + me;
    if (me >= BM / 4 || 4 * column4 >= m) return;
    vec4 all = vec4(0);
    for (uint i = 0; i < BK / 4; i++) all += FROM_STEP4(tile_a[i * A_STRIDE + me]);
    store_a_sums(all, column4, m, part);
}

#define CLEAR(i) acc[i] = vec4(0);
// Rows 4 ty ... of the first half of the tile, columns 4 tx ... of the first half; with TILE 8 of the second halves too.
#ifdef PAIRS
#ifdef MIXED_DOT
// Two products at a time, which RADV offers on GPUs that have v_dot2_f32_f16. GLSL has no word for it.
spirv_instruction(extensions = ["SPV_VALVE_mixed_float_dot_product"], capabilities = [6912], id = 6916)
float dot_and_add(f16vec2 x, f16vec2 y, float sum);
#define SUM_OF(sum, x, y) dot_and_add(unpackFloat2x16(x), unpackFloat2x16(y), sum)
#else
#define SUM_OF(sum, x, y) ((sum) + dot(unpackHalf2x16(x), unpackHalf2x16(y)))
#endif
vec4 multiplied(vec4 sum, uint x, uvec4 y) {
    return vec4(SUM_OF(sum.x, x, y.x), SUM_OF(sum.y, x, y.y), SUM_OF(sum.z, x, y.z), SUM_OF(sum.w, x, y.w));
}
#else
#define multiplied(sum, x, y) (sum + (x) * (y))
#endif
#define MULTIPLY(i) acc[i] = multiplied(acc[i], x0[i], y0);
#define MULTIPLY_8(i)                                 \
    acc[i] = multiplied(acc[i], x0[i], y0);           \
    acc[4 + i] = multiplied(acc[4 + i], x0[i], y1);   \
    acc[8 + i] = multiplied(acc[8 + i], x1[i], y0);   \
    acc[12 + i] = multiplied(acc[12 + i], x1[i], y1);
#define STORE(i)                                                                                                             \
    if (row + i < m && 4 * column4 < p.n)                                                                                    \
        store4(acc[i], part * m + row + i, column4, p.n, p.c_pitch4, p.residual_pitch4, p.scale, p.dropout_site, p.epilogue);
#define MOVE_UP(i) acc[i] = acc[4 + i];

void main() {
    const uint m = extent(p.m, p.m_symbol), part = gl_WorkGroupID.z, begin = part * p.k_part;
    const uint depth = min(extent(p.k, p.k_symbol), begin + p.k_part);
    const uint me = gl_LocalInvocationID.x;
    // Neighbours bring blocks that are neighbours along the direction that is contiguous in memory.
    const bool brings_a = me < A_BLOCKS;
    BRING(find_block(0, me, BM / 4, gl_WorkGroupID.y, A_ALONG_K, m, p.a_pitch4),
          find_block(OF_B, BRINGS_BOTH ? me : me - A_BLOCKS, BN / 4, gl_WorkGroupID.x, B_ALONG_K, p.n, p.b_pitch4))

#if TILE == 8
    const uint tx = me % (BN / 8), ty = me / (BN / 8);
    vec4 acc[16];
    REPEAT_16(CLEAR)
#else
    const uint tx = me % (BN / 4), ty = me / (BN / 4);
    vec4 acc[4];
    REPEAT_4(CLEAR)
#endif
    vec4 a_sum = vec4(0);
    if (begin < depth) {  // the last of many parts of K may have no steps
        BRING(fetch_a(begin, depth), fetch_b(begin, depth))
    }
    for (uint k = begin; k < depth; k += BK) {
        barrier();
        if (sums_a() && brings_a)
            a_sum += (UNPACK4(block[0]) + UNPACK4(block[1])) + (UNPACK4(block[2]) + UNPACK4(block[3]));
        BRING(PLACE(PLACE_A), PLACE(PLACE_B))
        barrier();
        // The last block is fetched twice rather than left out in the last turn: NVIDIA's compiler waits for loads where ways
        // join, and copies what they loaded.
        const uint next = EVEN_STEPS ? min(k + BK, depth - BK) : k + BK;
        BRING(fetch_a(next, depth), fetch_b(next, depth))
        // Counted on: NVIDIA's products of integers take turns with those of the sums.
        uint from_a = ty, from_b = tx;
        for (uint kk = 0; kk < STEPS; kk += UNROLLED) {
            [[unroll]] for (uint u = 0; u < UNROLLED; u++, from_a += A_STRIDE, from_b += B_STRIDE) {
                const STEP4 x0 = tile_a[from_a], y0 = tile_b[from_b];
#if TILE == 8
                const STEP4 x1 = tile_a[from_a + BM / 8], y1 = tile_b[from_b + BN / 8];
                REPEAT_4(MULTIPLY_8)
#else
                REPEAT_4(MULTIPLY)
#endif
            }
        }
    }
    if (sums_a()) add_a_sums(a_sum, brings_a, m, part);
    uint row = gl_WorkGroupID.y * BM + 4 * ty, column4 = gl_WorkGroupID.x * (BN / 4) + tx;
#if TILE == 8
    // Four times the code of a row is embedded, not sixteen times, and yet no compiler need unroll the loop to index the sums.
    for (uint quarter = 0; quarter < 4; quarter++) {
        REPEAT_4(STORE)
        REPEAT_8(MOVE_UP)
        MOVE_UP(8) MOVE_UP(9) MOVE_UP(10) MOVE_UP(11)
        row += quarter == 1 ? BM / 2 : 0;
        column4 = quarter == 1 ? column4 - BN / 8 : column4 + BN / 8;
    }
#else
    REPEAT_4(STORE)
#endif
}
