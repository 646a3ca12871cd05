// Operands of a product through 64-bit addresses, in any orientation, for CPU drivers that see that an address is the same in all
// lanes and then load it once, as a scalar: what matmul_pointer.comp and matmul_held.comp share. ROWS rows by one column an
// invocation, lanes along N.
//
// Rows of C from M on are computed from what lies within Plan::read_slack of A's end, and not stored. A row of A that lies along
// K ends with zeros up to the next multiple of four elements, and so does one of B. Where one lies across K, K is at least 16.
//
// Define ROWS, a multiple of 4, before including this.
#ifndef VKBERT_MATMUL_POINTER_GLSL
#define VKBERT_MATMUL_POINTER_GLSL
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_control_flow_attributes : require

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
#ifdef FP16
const uint BYTES4 = 8;  // of four elements
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
#define WORD_OF(column) ((column) / 2)
#define WORDS4 2
#define ELEMENT(words, offset, column) unpackHalf2x16(words.at[offset])[(column) & 1u]
#else
const uint BYTES4 = 16;
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { float at[]; };
#define WORD_OF(column) (column)
#define WORDS4 4
#define ELEMENT(words, offset, column) words.at[offset]
#endif

const bool A_ALONG_K = ORIENTATION != ORIENTATION_TN, B_ALONG_K = ORIENTATION == ORIENTATION_NT;

// Macros, because older glslang gives references that functions return no aliasing decoration.
#define ELEMENTS_AT(base, row, pitch4, column4) Elements4(base + uint64_t((row) * (pitch4) + (column4)) * BYTES4)
#define WORDS_AT(base, row, pitch4, column) Words(base + (uint64_t((row) * (pitch4)) * WORDS4 + WORD_OF(column)) * 4)
// A from `row` and step k on, whichever way it lies, and B's column likewise in both ways.
#define A_AT(row, k) (A_ALONG_K ? ELEMENTS_AT(a, row, p.a_pitch4, (k) / 4) : ELEMENTS_AT(a, k, p.a_pitch4, (row) / 4))
#define B_ALONG_AT(column, k) Gathered4(b + uint64_t((column) * p.b_pitch4 + (k) / 4) * BYTES4)
#define B_ACROSS_AT(column, k) WORDS_AT(b, k, p.b_pitch4, column)

const bool EVEN_STEPS = (EPILOGUE & EPILOGUE_EVEN_STEPS) != 0u;

float acc[ROWS];

// Where to read `count` steps from. llvmpipe goes through a loop's body once more when all lanes have left it, and loads through
// addresses that all lanes share even then.
uint readable(uint k, uint count) { return min(k, (max(p.k, count) - count) & ~3u); }

// Four steps of B's column; group u of those at y and z.
#define LOAD_B(t, u, y, z, column)                                                                                            \
    vec4 t;                                                                                                                   \
    if (B_ALONG_K) t = UNPACK_GATHERED(y.at[u]);                                                                              \
    else [[unroll]] for (uint i = 0; i < 4; i++) t[i] = ELEMENT(z, (4 * (u) + i) * p.b_pitch4 * WORDS4, column);

// acc += four steps of A, group u of those at x, times t. A sum's four additions stand together: so few are spilled at a time.
#define ADD_GROUP(t, u, x)                                                                                                    \
    if (A_ALONG_K) {                                                                                                          \
        [[unroll]] for (uint r = 0; r < ROWS; r++) {                                                                          \
            const vec4 s = UNPACK4(x.at[r * p.a_pitch4 + (u)]);                                                               \
            acc[r] += s.x * t.x; acc[r] += s.y * t.y; acc[r] += s.z * t.z; acc[r] += s.w * t.w;                               \
        }                                                                                                                     \
    } else {                                                                                                                  \
        [[unroll]] for (uint i = 0; i < 4; i++) {                                                                             \
            [[unroll]] for (uint r = 0; r < ROWS; r += 4) {                                                                   \
                const vec4 s = UNPACK4(x.at[(4 * (u) + i) * p.a_pitch4 + r / 4]);                                             \
                acc[r] += s.x * t[i]; acc[r + 1] += s.y * t[i]; acc[r + 2] += s.z * t[i]; acc[r + 3] += s.w * t[i];           \
            }                                                                                                                 \
        }                                                                                                                     \
    }

#define ADD_GROUPS(count, row, column, k) {                                                                                   \
    Elements4 x = A_AT(row, k); Gathered4 y = B_ALONG_AT(column, k);                                                          \
    Words z = B_ACROSS_AT(column, k);                                                                                         \
    [[unroll]] for (uint u = 0; u < count; u++) {                                                                             \
        LOAD_B(t, u, y, z, column)                                                                                            \
        ADD_GROUP(t, u, x)                                                                                                    \
    }                                                                                                                         \
}

// acc += steps [begin, end) of rows `row` and on, for a column; begin is a multiple of four.
void add_steps(uint row, uint column, uint begin, uint end) {
    // Four groups of four steps each time round: every round blends all sums with the execution mask.
    const uint groups_end = B_ALONG_K ? (end + 3) / 4 * 4 : end / 4 * 4;
    const uint whole_end = begin + (groups_end - begin) / 16 * 16;
    for (uint k = begin; k < whole_end; k += 16) ADD_GROUPS(4, row, column, readable(k, 16))
    if (EVEN_STEPS) return;
    for (uint k = whole_end; k < groups_end; k += 4) ADD_GROUPS(1, row, column, readable(k, 4))
    for (uint step = groups_end; step < end; step++) {  // rows of B beyond the last may hold anything
        const uint k = min(step, p.k - 1);
        Words z = B_ACROSS_AT(column, k);
        const float t = ELEMENT(z, 0, column);
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            Words x = A_ALONG_K ? WORDS_AT(a, row + r, p.a_pitch4, k) : WORDS_AT(a, k, p.a_pitch4, row + r);
            acc[r] += ELEMENT(x, 0, A_ALONG_K ? k : row + r) * t;
        }
    }
}

#endif
