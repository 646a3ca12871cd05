#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#ifdef PER_ELEMENT
#extension GL_NV_cooperative_matrix2 : require
#endif
#pragma use_vulkan_memory_model
// C(M,N) = epilogue(op(A) op(B)), any orientation, on matrix cores: fp16 operands, fp32 sums. A workgroup makes BM x BN of C,
// stepping BK along K; each of its subgroups ROWS x COLUMNS matrices of the device's own shape MM x MN x MK.
//
// Both operands lie in shared memory as they lie in memory, so that every copy is along the contiguous direction; the loads of
// matrices turn them round. The next blocks are on their way in registers while these are multiplied. Where an element of a
// matrix lies is the device's secret: the epilogue reads the sums back from a slice of shared memory.
#define FP16
#define MATMUL_CONSTANTS 7
#include "shaders/matmul.glsl"

layout(constant_id = 1) const uint BM = 64;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint BK = 32;
layout(constant_id = 4) const uint MM = 16;
layout(constant_id = 5) const uint MN = 16;
layout(constant_id = 6) const uint MK = 16;
const uint ROWS = 2, WM = ROWS * MM, WN = COLUMNS * MN;  // COLUMNS is a macro: 2 or 4

layout(std430, binding = 1) readonly buffer A { uvec2 a[]; };
layout(std430, binding = 2) readonly buffer B { uvec2 b[]; };
layout(push_constant) uniform Push { MatmulPush p; };

const bool A_ALONG_K = ORIENTATION != ORIENTATION_TN, B_ALONG_K = ORIENTATION == ORIENTATION_NT;
const bool EVEN_STEPS = (EPILOGUE & EPILOGUE_EVEN_STEPS) != 0u;
// Four halves a piece. 16 bytes of padding a row: rows that a matrix is made of do not fall on one bank, and stay aligned.
const uint A_WIDTH = (A_ALONG_K ? BK : BM) / 4, A_STRIDE = A_WIDTH + 2, A_ROWS = A_ALONG_K ? BM : BK;
const uint B_WIDTH = (B_ALONG_K ? BK : BN) / 4, B_STRIDE = B_WIDTH + 2, B_ROWS = B_ALONG_K ? BN : BK;
const uint A_PIECES = BM * BK / 4 / LOCAL_SIZE, B_PIECES = BN * BK / 4 / LOCAL_SIZE;
const uint SUBGROUPS = (BM / WM) * (BN / WN);
// A's block, then B's; after the last step the subgroups' slices lie over both.
const uint B_AT = A_ROWS * A_STRIDE, BLOCKS = B_AT + B_ROWS * B_STRIDE, SLICES = SUBGROUPS * MM * MN / 2;
shared uvec2 tiles[SLICES > BLOCKS ? SLICES : BLOCKS];

// Each sum has a name: an array of them, even with constant indices, Intel's compiler keeps in memory.
#define SUM(i, j) sum_##i##_##j
#define FOR_ROWS(DO, j) DO(0, j) DO(1, j)
#if COLUMNS == 2
#define FOR_SUMS(DO) FOR_ROWS(DO, 0) FOR_ROWS(DO, 1)
#else
#define FOR_SUMS(DO) FOR_ROWS(DO, 0) FOR_ROWS(DO, 1) FOR_ROWS(DO, 2) FOR_ROWS(DO, 3)
#endif
#define ACCUMULATOR coopmat<float, gl_ScopeSubgroup, MM, MN, gl_MatrixUseAccumulator>

#ifdef PER_ELEMENT
#include "shaders/matmul_matrix_elements.glsl"
#endif

// An invocation brings the same column of rows that are so far apart.
const uint A_APART = LOCAL_SIZE / A_WIDTH, B_APART = LOCAL_SIZE / B_WIDTH;
uvec2 next_a[A_PIECES], next_b[B_PIECES];
// Where they lie for step 0 of K, and where the first comes to: kept from turn to turn, since RADV would make the products and
// minima anew. Where they lie across K the first does for all, from which the others are as far for every invocation.
uint a_at[A_PIECES], b_at[B_PIECES], a_to, b_to;

// Beyond the last row or column the last is repeated, and what comes of it is not stored.
void find_pieces(uint m) {
    const uint me = gl_LocalInvocationID.x;
    const uint a_row = me / A_WIDTH, a_column = me % A_WIDTH, b_row = me / B_WIDTH, b_column = me % B_WIDTH;
    a_to = a_row * A_STRIDE + a_column;
    b_to = B_AT + b_row * B_STRIDE + b_column;
    [[unroll]] for (uint i = 0; i < A_PIECES; i++)
        a_at[i] = A_ALONG_K ? min(gl_WorkGroupID.y * BM + a_row + i * A_APART, m - 1) * p.a_pitch4 + a_column
                            : a_row * p.a_pitch4 + min(gl_WorkGroupID.y * (BM / 4) + a_column, (m - 1) / 4);
    [[unroll]] for (uint i = 0; i < B_PIECES; i++)
        b_at[i] = B_ALONG_K ? min(gl_WorkGroupID.x * BN + b_row + i * B_APART, p.n - 1) * p.b_pitch4 + b_column
                            : b_row * p.b_pitch4 + min(gl_WorkGroupID.x * (BN / 4) + b_column, (p.n - 1) / 4);
}

#define A_PIECE(i, k) a[A_ALONG_K ? a_at[i] + (k) / 4 : a_at[0] + ((k) + i * A_APART) * p.a_pitch4]
#define B_PIECE(i, k) b[B_ALONG_K ? b_at[i] + (k) / 4 : b_at[0] + ((k) + i * B_APART) * p.b_pitch4]

// The blocks of BK steps from k on.
void fetch(uint k) {
    [[unroll]] for (uint i = 0; i < A_PIECES; i++) next_a[i] = A_PIECE(i, k);
    [[unroll]] for (uint i = 0; i < B_PIECES; i++) next_b[i] = B_PIECE(i, k);
}

// The same with zeros from step depth on.
void fetch_some(uint k, uint depth) {
    const uint me = gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0; i < A_PIECES; i++) {
        const uint step = k + (A_ALONG_K ? me % A_WIDTH * 4 : me / A_WIDTH + i * A_APART);
        next_a[i] = step < depth ? A_PIECE(i, k) : uvec2(0);
    }
    [[unroll]] for (uint i = 0; i < B_PIECES; i++) {
        const uint step = k + (B_ALONG_K ? me % B_WIDTH * 4 : me / B_WIDTH + i * B_APART);
        next_b[i] = step < depth ? B_PIECE(i, k) : uvec2(0);
    }
}

// Where nothing is fetched: registers that would still hold what came before, RADV copies in every turn.
void fetch_none() {
    [[unroll]] for (uint i = 0; i < A_PIECES; i++) next_a[i] = uvec2(0);
    [[unroll]] for (uint i = 0; i < B_PIECES; i++) next_b[i] = uvec2(0);
}

void place() {
    [[unroll]] for (uint i = 0; i < A_PIECES; i++) tiles[a_to + i * A_APART * A_STRIDE] = next_a[i];
    [[unroll]] for (uint i = 0; i < B_PIECES; i++) tiles[b_to + i * B_APART * B_STRIDE] = next_b[i];
}

// The epilogue of the matrix in this subgroup's slice, which is C's from row and column on.
void store_slice(uint slice, uint row, uint column, uint m, uint part) {
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
    for (uint at = gl_SubgroupInvocationID; at < MM * MN / 4; at += gl_SubgroupSize) {
        const uint at_row = row + at / (MN / 4), column4 = column / 4 + at % (MN / 4), from = slice + 2 * at;
        if (at_row < m && 4 * column4 < p.n)
            store4(uintBitsToFloat(uvec4(tiles[from], tiles[from + 1])), part * m + at_row, column4, p.n, p.c_pitch4,
                   p.residual_pitch4, p.scale, p.dropout_site, p.epilogue);
    }
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
}

void main() {
    const uint m = extent(p.m, p.m_symbol), part = gl_WorkGroupID.z, begin = part * p.k_part;
    const uint depth = min(extent(p.k, p.k_symbol), begin + p.k_part);
    const uint first_row = gl_SubgroupID / (BN / WN) * WM, first_column = gl_SubgroupID % (BN / WN) * WN;
    const int a_layout = A_ALONG_K ? gl_CooperativeMatrixLayoutRowMajor : gl_CooperativeMatrixLayoutColumnMajor;
    const int b_layout = B_ALONG_K ? gl_CooperativeMatrixLayoutColumnMajor : gl_CooperativeMatrixLayoutRowMajor;

#define ZERO(i, j) ACCUMULATOR SUM(i, j) = ACCUMULATOR(0.0);
    FOR_SUMS(ZERO)
    find_pieces(m);
    // The last blocks, which may have fewer steps, come first, so that no turn of the loop need look at each step.
    const uint last = begin + (max(depth, begin + 1) - begin - 1) / BK * BK;
    if (EVEN_STEPS) fetch(last);
    else fetch_some(last, depth);
    for (uint k = begin; k <= last; k += BK) {
        barrier();
        place();
        barrier();
        if (k < last) fetch(k);
        else fetch_none();
        [[unroll]] for (uint kk = 0; kk < BK; kk += MK) {
#define LOAD_X(i, j)                                                                                                     \
    coopmat<float16_t, gl_ScopeSubgroup, MM, MK, gl_MatrixUseA> x_##i;                                                   \
    {                                                                                                                    \
        const uint row = first_row + i * MM;                                                                             \
        coopMatLoad(x_##i, tiles, A_ALONG_K ? row * A_STRIDE + kk / 4 : kk * A_STRIDE + row / 4, A_STRIDE, a_layout);    \
    }
            FOR_ROWS(LOAD_X, 0)
            coopmat<float16_t, gl_ScopeSubgroup, MK, MN, gl_MatrixUseB> y;
#define LOAD_Y(j)                                                                                                        \
    {                                                                                                                    \
        const uint column = first_column + j * MN;                                                                       \
        const uint at = B_ALONG_K ? column * B_STRIDE + kk / 4 : kk * B_STRIDE + column / 4;                             \
        coopMatLoad(y, tiles, B_AT + at, B_STRIDE, b_layout);                                                            \
    }
#define ADD(i, j) SUM(i, j) = coopMatMulAdd(x_##i, y, SUM(i, j));
            LOAD_Y(0) FOR_ROWS(ADD, 0)
            LOAD_Y(1) FOR_ROWS(ADD, 1)
#if COLUMNS == 4
            LOAD_Y(2) FOR_ROWS(ADD, 2)
            LOAD_Y(3) FOR_ROWS(ADD, 3)
#endif
        }
    }
    const uint row = gl_WorkGroupID.y * BM + first_row, column = gl_WorkGroupID.x * BN + first_column;
#ifdef PER_ELEMENT
    // Of whole workgroups, since some drivers want all subgroups at the barriers of store_slice, or none.
    if (IS_ALIGNED && IS_LISTED && KEPT == 256u && (gl_WorkGroupID.y + 1) * BM <= m && (gl_WorkGroupID.x + 1) * BN <= p.n) {
#define STORE_ELEMENTS(i, j) store_elements(SUM(i, j), part * m + row + i * MM, column + j * MN);
        FOR_SUMS(STORE_ELEMENTS)
        return;
    }
#endif
    barrier();
    const uint slice = gl_SubgroupID * MM * MN / 2;
#define STORE(i, j)                                                                                                      \
    coopMatStore(SUM(i, j), tiles, slice, MN / 2, gl_CooperativeMatrixLayoutRowMajor);                                   \
    store_slice(slice, row + i * MM, column + j * MN, m, part);
    FOR_SUMS(STORE)
}
