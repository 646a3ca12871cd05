#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_quad : require
// C(M,N) = epilogue(op(A) op(B)) through 64-bit addresses, for CPU drivers that see that an address is the same in all lanes and then load
// it once, as a scalar. ROWS rows by one column an invocation, lanes along N. Within a round of the loop everything is at a uniform
// offset from a few pointers; no shared memory, no barriers, no divergent branches around it.
//
// Rows of C from M on are computed from what lies within Plan::read_slack of A's end, and not stored. A row of A that lies along
// K ends with zeros up to the next multiple of four elements, and so does one of B. Where one lies across K, K is at least 16.
//
// What is read of push constants or storage buffers is read before the first loop: such a load has a test for the bound, behind which
// LLVM moves the additions whose sums it does not need before, and all products wait on the stack for them, which takes twice as long.
#define MATMUL_CONSTANTS 2
#define QUAD_STORES
#include "shaders/matmul.glsl"
#include "shaders/lane_loads.glsl"
layout(constant_id = 1) const uint ROWS = 16;

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Elements4 { STORED4 at[]; };
// B's column, which differs between lanes: llvmpipe gathers 64 bits in the time of 32 (fp16: no gain was measured).
#ifdef FP16
#define Gathered4 Elements4
#define UNPACK_GATHERED(v) UNPACK4(v)
#else
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Gathered4 { u64vec2 at[]; };
#define UNPACK_GATHERED(v) uintBitsToFloat(uvec4(unpack32((v).x), unpack32((v).y)))
#endif
layout(push_constant) uniform Push {
    uint64_t a, b;
    MatmulPush p;
};
MatmulPush call = p;
#ifdef FP16
const uint BYTES4 = 8;  // of four elements
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
#define WORD_OF(column) ((column) / 2)
#define WORDS4 2
#define ELEMENT(words, offset, column) unpackHalf2x16(words.at[offset])[(column) & 1u]
#else
const uint BYTES4 = 16;
#define Words Floats
#define WORD_OF(column) (column)
#define WORDS4 4
#define ELEMENT(words, offset, column) words.at[offset]
#endif

const bool A_ALONG_K = ORIENTATION != ORIENTATION_TN, B_ALONG_K = ORIENTATION == ORIENTATION_NT;

// Macros, because older glslang gives references that functions return no aliasing decoration.
#define ELEMENTS_AT(base, row, pitch4, column4) Elements4(base + uint64_t((row) * (pitch4) + (column4)) * BYTES4)
#define WORDS_AT(base, row, pitch4, column) Words(base + (uint64_t((row) * (pitch4)) * WORDS4 + WORD_OF(column)) * 4)
// A from `row` and step k on, whichever way it lies, and the rows of a tile where they lie along K: with an address each, since from one
// LLVM would compute every load's index anew (5 to 10% of the time).
#define A_AT(row, k) (A_ALONG_K ? ELEMENTS_AT(a, row, call.a_pitch4, (k) / 4) : ELEMENTS_AT(a, k, call.a_pitch4, (row) / 4))
#define ROWS_OF_A(x, row, k)                                                                                                  \
    Elements4 x[A_ALONG_K ? ROWS : 1];                                                                                        \
    [[unroll]] for (uint r = 0; r < (A_ALONG_K ? ROWS : 1); r++) x[r] = A_AT(row + r, k);

// B's column from step k on, where it lies along K.
#define B_ALONG_AT(column, k) Gathered4(b + uint64_t((column) * call.b_pitch4 + (k) / 4) * BYTES4)
// Where it lies across K: what the subgroup's lanes have from there on is one load of a vector (see blocks.glsl), which must stand
// outside of any condition; but of fp16 each lane has its own.
uint first_column() { return gl_WorkGroupID.x * LOCAL_SIZE + gl_SubgroupID * gl_SubgroupSize; }
#ifdef FP16
#define B_ACROSS_AT(column, k) WORDS_AT(b, k, call.b_pitch4, column)
#define B_ROW_WORDS (call.b_pitch4 * WORDS4)
#define OF_LANES(words, offset, column) ELEMENT(words, offset, column)
#else
#define B_ACROSS_AT(column, k) WORDS_AT(b, k, call.b_pitch4, first_column())
#define B_ROW_WORDS (call.b_pitch4 * WORDS4)
#define OF_LANES(words, offset, column) float_of_lane(words, offset)
#endif

const bool EVEN_STEPS = (EPILOGUE & EPILOGUE_EVEN_STEPS) != 0u;

float acc[ROWS];

// Where to read `count` steps from. llvmpipe goes through a loop's body once more when all lanes have left it, and loads through
// addresses that all lanes share even then.
uint readable(uint k, uint count) { return min(k, (max(call.k, count) - count) & ~3u); }

// Four steps of B's column; group u of those at y and z.
#define LOAD_B(t, u, y, z, column)                                                                                            \
    vec4 t;                                                                                                                   \
    if (B_ALONG_K) t = UNPACK_GATHERED(y.at[u]);                                                                              \
    else [[unroll]] for (uint i = 0; i < 4; i++) t[i] = OF_LANES(z, (4 * (u) + i) * B_ROW_WORDS, column);

// acc += four steps of A, group u of those at x, times t. A sum's four additions stand together: so few are spilled at a time.
#define ADD_GROUP(t, u, x)                                                                                                    \
    if (A_ALONG_K) {                                                                                                          \
        [[unroll]] for (uint r = 0; r < ROWS; r++) {                                                                          \
            const vec4 s = UNPACK4(x[r].at[u]);                                                                               \
            acc[r] += s.x * t.x; acc[r] += s.y * t.y; acc[r] += s.z * t.z; acc[r] += s.w * t.w;                               \
        }                                                                                                                     \
    } else {                                                                                                                  \
        [[unroll]] for (uint i = 0; i < 4; i++) {                                                                             \
            Elements4 y = Elements4(uint64_t(x[0]) + uint64_t((4 * (u) + i) * call.a_pitch4) * BYTES4);                       \
            [[unroll]] for (uint r = 0; r < ROWS; r += 4) {                                                                   \
                const vec4 s = UNPACK4(y.at[r / 4]);                                                                          \
                acc[r] += s.x * t[i]; acc[r + 1] += s.y * t[i]; acc[r + 2] += s.z * t[i]; acc[r + 3] += s.w * t[i];           \
            }                                                                                                                 \
        }                                                                                                                     \
    }

#define ADD_GROUPS(count, row, column, k) {                                                                                   \
    ROWS_OF_A(x, row, k) Gathered4 y = B_ALONG_AT(column, k);                                                                 \
    Words z = B_ACROSS_AT(column, k);                                                                                         \
    [[unroll]] for (uint u = 0; u < count; u++) {                                                                             \
        LOAD_B(t, u, y, z, column)                                                                                            \
        ADD_GROUP(t, u, x)                                                                                                    \
    }                                                                                                                         \
}

// acc += the first `end` steps of rows `row` and on, for a column.
void add_steps(uint row, uint column, uint end) {
    // Four groups of four steps each time round: every round blends all sums with the execution mask.
    const uint groups_end = B_ALONG_K ? (end + 3) / 4 * 4 : end / 4 * 4;
    const uint whole_end = groups_end / 16 * 16;
    for (uint k = 0; k < whole_end; k += 16) ADD_GROUPS(4, row, column, readable(k, 16))
    if (EVEN_STEPS) return;
    for (uint k = whole_end; k < groups_end; k += 4) ADD_GROUPS(1, row, column, readable(k, 4))
    for (uint step = groups_end; step < end; step++) {  // rows of B beyond the last may hold anything
        const uint k = min(step, call.k - 1);
        Words z = WORDS_AT(b, k, call.b_pitch4, column);
        const float t = ELEMENT(z, 0, column);
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            Words x = A_ALONG_K ? WORDS_AT(a, row + r, call.a_pitch4, k) : WORDS_AT(a, k, call.a_pitch4, row + r);
            acc[r] += ELEMENT(x, 0, A_ALONG_K ? k : row + r) * t;
        }
    }
}

void main() {
    const uint m = extent(call.m, call.m_symbol);
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint row = gl_WorkGroupID.y * ROWS;
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = 0;
    add_steps(row, min(column, call.n - 1), extent(call.k, call.k_symbol));
    [[unroll]] for (uint r = 0; r < ROWS; r += 4)
        if (row + r < m)
            store_rows(vec4(acc[r], acc[r + 1], acc[r + 2], acc[r + 3]), row + r, column, m, call.n, call.c_pitch4,
                       call.residual_pitch4, call.scale);
}
