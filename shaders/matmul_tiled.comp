#version 450
#extension GL_GOOGLE_include_directive : require
// C(M,N) = epilogue(op(A) op(B)), any orientation: shared-memory tiles for GPUs. A workgroup makes BM x BN of C, stepping
// BK along K (with k_part a part of K); an invocation makes TILE x TILE of it by outer products from registers.
//
// Both operands lie in shared memory as [k][row or column], so that the inner loop reads vec4s whatever the orientation:
// an invocation brings one 4x4 block of A or of B in each step and transposes it in registers where K is contiguous. The
// next step's block is on its way while this step is computed. No subgroup operations. (BM+BN)/4 * BK/4 = LOCAL_SIZE.
#define MATMUL_CONSTANTS 4
#include "shaders/matmul.glsl"
#include "shaders/repeat.glsl"

layout(constant_id = 1) const uint BM = 64;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint BK = 32;

layout(std430, binding = 1) readonly buffer A { STORED4 a[]; };
layout(std430, binding = 2) readonly buffer B { STORED4 b[]; };
layout(push_constant) uniform Push { MatmulPush p; };

// One vec4 of padding a row: blocks that neighbouring invocations store do not fall on one bank.
const uint A_STRIDE = BM / 4 + 1, B_STRIDE = BN / 4 + 1;
shared vec4 tile_a[BK * A_STRIDE];
shared vec4 tile_b[BK * B_STRIDE];

const bool A_ALONG_K = ORIENTATION != ORIENTATION_TN, B_ALONG_K = ORIENTATION == ORIENTATION_NT;
const bool EVEN_STEPS = (EPILOGUE & EPILOGUE_EVEN_STEPS) != 0u;
const uint A_BLOCKS = (BM / 4) * (BK / 4);

vec4 block[4];
uvec4 at;  // of block's vec4s in A or B, for step 0 of K

#define FETCH_ALONG_K(i) block[i] = EVEN_STEPS || inside ? UNPACK4(SOURCE[at[i] + from]) : vec4(0);
#define FETCH_ACROSS(i) block[i] = EVEN_STEPS || k + i < depth ? UNPACK4(SOURCE[at[i] + from]) : vec4(0);

// Beyond the last row or column the last is repeated, and what comes of it is not stored. Kept from step to step: RADV would
// make the products and minima anew in each, which costs a tenth of the loop on GCN.
void find_block(uint strip, bool along_k, uint limit, uint pitch4) {
    at = along_k ? min(4 * strip + uvec4(0, 1, 2, 3), uvec4(limit - 1)) * pitch4
                 : uvec4(0, 1, 2, 3) * pitch4 + min(strip, (limit - 1) / 4);
}

// The 4x4 block of A at step k, or of B, zeros beyond the last step.
void fetch_a(uint k, uint depth) {
    const uint from = A_ALONG_K ? k / 4 : k * p.a_pitch4;
    const bool inside = k < depth;
#define SOURCE a
    if (A_ALONG_K) {
        REPEAT_4(FETCH_ALONG_K)
    } else {
        REPEAT_4(FETCH_ACROSS)
    }
#undef SOURCE
}
void fetch_b(uint k, uint depth) {
    const uint from = B_ALONG_K ? k / 4 : k * p.b_pitch4;
    const bool inside = k < depth;
#define SOURCE b
    if (B_ALONG_K) {
        REPEAT_4(FETCH_ALONG_K)
    } else {
        REPEAT_4(FETCH_ACROSS)
    }
#undef SOURCE
}

#define TRANSPOSED(i) vec4(block[0][i], block[1][i], block[2][i], block[3][i])
#define PLACE_A(i) tile_a[(step + i) * A_STRIDE + strip] = A_ALONG_K ? TRANSPOSED(i) : block[i];
#define PLACE_B(i) tile_b[(step + i) * B_STRIDE + strip] = B_ALONG_K ? TRANSPOSED(i) : block[i];

// The first column of workgroups sums the columns of A that it brings; there is no other reader of all of A.
bool sums_a() { return (EPILOGUE & EPILOGUE_A_SUMS) != 0u && gl_WorkGroupID.x == 0u; }

// From the sums of this invocation's share of the steps, if it brings A (tn), to those of all of them.
void add_a_sums(vec4 sum, bool brings_a, uint strip, uint step, uint m, uint part) {
    barrier();
    if (brings_a) tile_a[step / 4 * A_STRIDE + strip] = sum;
    barrier();
    const uint me = gl_LocalInvocationID.x, column4 = gl_WorkGroupID.y * (BM / 4) + me;
    if (me >= BM / 4 || 4 * column4 >= m) return;
    vec4 all = vec4(0);
    for (uint i = 0; i < BK / 4; i++) all += tile_a[i * A_STRIDE + me];
    store_a_sums(all, column4, m, part);
}

#define CLEAR(i) acc[i] = vec4(0);
// Rows 4 ty ... of the first half of the tile, columns 4 tx ... of the first half; with TILE 8 of the second halves too.
#define MULTIPLY(i) acc[i] += x0[i] * y0;
#define MULTIPLY_8(i)           \
    acc[i] += x0[i] * y0;       \
    acc[4 + i] += x0[i] * y1;   \
    acc[8 + i] += x1[i] * y0;   \
    acc[12 + i] += x1[i] * y1;
#define STORE_AT(i, quarter, first_row, first_column4)                                         \
    if (first_row + i < m && 4 * (first_column4) < p.n)                                        \
        store4(acc[4 * quarter + i], part * m + first_row + i, first_column4, p.n, p.c_pitch4, p.residual_pitch4, p.scale, \
               p.dropout_site);
#define STORE_0(i) STORE_AT(i, 0, row, column4)
#define STORE_1(i) STORE_AT(i, 1, row, column4 + BN / 8)
#define STORE_2(i) STORE_AT(i, 2, row + BM / 2, column4)
#define STORE_3(i) STORE_AT(i, 3, row + BM / 2, column4 + BN / 8)

void main() {
    const uint m = extent(p.m, p.m_symbol), part = gl_WorkGroupID.z, begin = part * p.k_part;
    const uint depth = min(extent(p.k, p.k_symbol), begin + p.k_part);
    const uint me = gl_LocalInvocationID.x;
    // Which block is mine: neighbours along the direction that is contiguous in memory.
    const bool brings_a = me < A_BLOCKS;
    const uint index = brings_a ? me : me - A_BLOCKS;
    const bool along_k = brings_a ? A_ALONG_K : B_ALONG_K;
    const uint strips = brings_a ? BM / 4 : BN / 4;
    const uint strip = along_k ? index / (BK / 4) : index % strips;
    const uint step = 4 * (along_k ? index % (BK / 4) : index / strips);
    if (brings_a) find_block(gl_WorkGroupID.y * (BM / 4) + strip, A_ALONG_K, m, p.a_pitch4);
    else find_block(gl_WorkGroupID.x * (BN / 4) + strip, B_ALONG_K, p.n, p.b_pitch4);

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
        if (brings_a) fetch_a(begin + step, depth);
        else fetch_b(begin + step, depth);
    }
    for (uint k = begin; k < depth; k += BK) {
        barrier();
        if (brings_a) {
            REPEAT_4(PLACE_A)
            if (sums_a()) a_sum += (block[0] + block[1]) + (block[2] + block[3]);
        } else {
            REPEAT_4(PLACE_B)
        }
        barrier();
        if (!EVEN_STEPS || k + BK < depth) {
            if (brings_a) fetch_a(k + BK + step, depth);
            else fetch_b(k + BK + step, depth);
        }
        // Counted on: NVIDIA's products of integers take turns with those of the sums.
        uint from_a = ty, from_b = tx;
        for (uint kk = 0; kk < BK; kk++, from_a += A_STRIDE, from_b += B_STRIDE) {
            const vec4 x0 = tile_a[from_a], y0 = tile_b[from_b];
#if TILE == 8
            const vec4 x1 = tile_a[from_a + BM / 8], y1 = tile_b[from_b + BN / 8];
            REPEAT_4(MULTIPLY_8)
#else
            REPEAT_4(MULTIPLY)
#endif
        }
    }
    if (sums_a()) add_a_sums(a_sum, brings_a, strip, step, m, part);
    const uint row = gl_WorkGroupID.y * BM + 4 * ty, column4 = gl_WorkGroupID.x * (BN / 4) + tx;
    REPEAT_4(STORE_0)
#if TILE == 8
    REPEAT_4(STORE_1)
    REPEAT_4(STORE_2)
    REPEAT_4(STORE_3)
#endif
}
