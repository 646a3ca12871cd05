// What the matmul shaders share: the constants of a call, the output side of the bindings, and the epilogue
// C = dropout(activation(scale * sum + bias)) + residual, or scale * sum * activation'(residual).
//
// Define MATMUL_CONSTANTS, the number of the kernel's own specialization constants, before including this.
#ifndef VKBERT_MATMUL_GLSL
#define VKBERT_MATMUL_GLSL
#include "shaders/activation.glsl"
#include "shaders/common.glsl"
#include "shaders/matmul.h"
#include "shaders/random.glsl"

layout(constant_id = MATMUL_CONSTANTS) const uint ORIENTATION = 0;
layout(constant_id = MATMUL_CONSTANTS + 1) const uint ACTIVATION = 0;
layout(constant_id = MATMUL_CONSTANTS + 2) const uint EPILOGUE = 0;
layout(constant_id = MATMUL_CONSTANTS + 3) const uint KEPT = 256;  // of 256 by dropout; all of them: there is none

// Binding 3 is C, seen as whatever the store at hand needs; 4 is the bias (1,N); 5 the residual, of C's type; 6 what is kept,
// which lies like C, or the sums of A's columns; 7, where store4() is used, the state of dropout.
layout(std430, binding = 3) buffer Output { float output1[]; };
layout(std430, binding = 3) buffer Output4 { vec4 output4[]; };
layout(std430, binding = 6) buffer Kept { float kept1[]; };
layout(std430, binding = 6) buffer Kept4 { vec4 kept4[]; };
layout(std430, binding = 4) readonly buffer Bias { float bias[]; };
layout(std430, binding = 5) readonly buffer Residual { float residual1[]; };
layout(std430, binding = 5) readonly buffer Residual4 { vec4 residual4[]; };
layout(std430, binding = 7) readonly buffer State { uvec4 dropout_state; };
#ifdef FP16
layout(std430, binding = 3) buffer OutputHalves { uvec2 output_halves[]; };
layout(std430, binding = 3) buffer OutputPairs { uint output_pairs[]; };
layout(std430, binding = 6) buffer KeptHalves { uvec2 kept_halves[]; };
layout(std430, binding = 6) buffer KeptPairs { uint kept_pairs[]; };
layout(std430, binding = 5) readonly buffer ResidualHalves { uvec2 residual_halves[]; };
#endif

// The bias of columns 4 column4 ... 4 column4 + 3, of which those beyond the last are anything.
vec4 bias_at(uint column4, uint n) {
    const uint column = 4 * column4;
    if ((EPILOGUE & EPILOGUE_TAIL) == 0u)
        return vec4(bias[column], bias[column + 1], bias[column + 2], bias[column + 3]);
    return vec4(bias[column], bias[min(column + 1, n - 1)], bias[min(column + 2, n - 1)], bias[min(column + 3, n - 1)]);
}

vec4 before_activation(vec4 sum, uint column4, uint n, float scale) {
    return (EPILOGUE & EPILOGUE_BIAS) != 0u ? sum * scale + bias_at(column4, n) : sum * scale;
}

vec4 before_residual(vec4 v) { return (EPILOGUE & EPILOGUE_SLOPE) != 0u ? v : activate(v, ACTIVATION); }

vec4 with_residual(vec4 v, vec4 residual) {
    return (EPILOGUE & EPILOGUE_SLOPE) != 0u ? v * activation_slope(residual, ACTIVATION) : v + residual;
}

#ifdef FP16
// The first count of four halves, the others as they are.
#define STORE_HALVES(halves, at, v, count)                                                                       \
    {                                                                                                            \
        uvec2 packed = pack_halves(v);                                                                           \
        if (count < 4u) {                                                                                        \
            const uvec2 mask = uvec2(count == 1u ? 0xffffu : 0xffffffffu, count == 3u ? 0xffffu : 0u);           \
            packed = (packed & mask) | (halves[at] & ~mask);                                                     \
        }                                                                                                        \
        halves[at] = packed;                                                                                     \
    }
#endif
#define STORE_FLOATS(floats4, floats1, at, v, count) \
    if (count == 4u) floats4[at] = v;                \
    else for (uint i = 0; i < count; i++) floats1[4 * (at) + i] = v[i];

// Whether a part of the epilogue that this pipeline has is one of this call's, of MatmulPush::epilogue.
bool follows(uint part, uint call) { return (EPILOGUE & EPILOGUE_BY_CALL) == 0u || (call & part) != 0u; }

// Makes four neighbouring elements of a row of C from their sums, and stores those that are within n columns.
// The pitches are multiples of 4, so that one invocation owns every fp16 word that is written.
void store4(vec4 sum, uint row, uint column4, uint n, uint c_pitch4, uint residual_pitch4, float scale, uint site, uint call) {
    const vec4 before = before_activation(sum, column4, n, scale);
    vec4 v = follows(EPILOGUE_ACTIVATION, call) ? before_residual(before) : before;
    if (KEPT < 256u) v *= dropout_factors(dropout_bytes(dropout_state, site, row, column4 / 4)[column4 % 4], KEPT);
    const uint at = row * c_pitch4 + column4;
    const uint from = row * residual_pitch4 + column4;
    const uint count = (EPILOGUE & EPILOGUE_TAIL) != 0u ? min(n - 4 * column4, 4u) : 4u;
#ifdef FP16
    if ((EPILOGUE & EPILOGUE_FP16_OUTPUT) != 0u) {
        if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u && follows(EPILOGUE_RESIDUAL, call))
            v = with_residual(v, unpack_halves(residual_halves[from]));
        STORE_HALVES(output_halves, at, v, count)
        if ((EPILOGUE & EPILOGUE_KEEP) != 0u) STORE_HALVES(kept_halves, at, before, count)
        return;
    }
#endif
    if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u && follows(EPILOGUE_RESIDUAL, call)) {
        vec4 residual = vec4(0);
        if (count == 4u) residual = residual4[from];
        else for (uint i = 0; i < count; i++) residual[i] = residual1[4 * from + i];
        v = with_residual(v, residual);
    }
    STORE_FLOATS(output4, output1, at, v, count)
    if ((EPILOGUE & EPILOGUE_KEEP) != 0u) { STORE_FLOATS(kept4, kept1, at, before, count) }
}

// Stores the sums of four neighbouring columns of A, of which there are m, in its part's row; where C is added to, they are too.
void store_a_sums(vec4 sums, uint column4, uint m, uint part) {
    const uint at = 4 * ((m + 3) / 4 * part + column4);
    for (uint i = 0; i < 4 && 4 * column4 + i < m; i++)
        kept1[at + i] = (EPILOGUE & EPILOGUE_IN_PLACE) != 0u ? kept1[at + i] + sums[i] : sums[i];
}

// The same as store4() for a lane that has one column and four rows of it, of which those from row m on are not stored. Lanes are
// neighbouring columns, and all lanes of a quad come here; columns from n on are not stored. For fp16 a lane lends its
// value to its neighbour, which stores both.
#ifdef QUAD_STORES
vec4 residual_rows(uint row, uint column, uint rows, uint pitch4) {
    vec4 v = vec4(0);
    for (uint i = 0; i < rows; i++) {
        const uint from = (row + i) * pitch4 * 4 + column;
#ifdef FP16
        if ((EPILOGUE & EPILOGUE_FP16_OUTPUT) != 0u) {
            const uvec2 quarter = residual_halves[from / 4];
            const vec2 pair = unpackHalf2x16((column & 2u) != 0u ? quarter.y : quarter.x);
            v[i] = (column & 1u) != 0u ? pair.y : pair.x;
            continue;
        }
#endif
        v[i] = residual1[from];
    }
    return v;
}

#ifdef FP16
#define STORE_PAIRS(pairs, v)                                                                                              \
    {                                                                                                                      \
        const vec4 next = subgroupQuadSwapHorizontal(v);                                                                   \
        if (column < n && (column & 1u) == 0u)                                                                             \
            for (uint i = 0; i < rows; i++) {                                                                              \
                const uint at = (row + i) * c_pitch4 * 2 + column / 2;                                                     \
                const uint pair = packHalf2x16(vec2(v[i], next[i]));                                                       \
                pairs[at] = column + 1 < n ? pair : (pair & 0xffffu) | (pairs[at] & 0xffff0000u);                          \
            }                                                                                                              \
    }
#endif

void store_rows(vec4 sums, uint row, uint column, uint m, uint n, uint c_pitch4, uint residual_pitch4, float scale) {
    const uint rows = min(m - row, 4u);
    const uint last = min(column, n - 1);
    vec4 before = sums * scale;
    if ((EPILOGUE & EPILOGUE_BIAS) != 0u) before += bias[last];
    vec4 v = before_residual(before);
    if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u) v = with_residual(v, residual_rows(row, last, rows, residual_pitch4));
#ifdef FP16
    if ((EPILOGUE & EPILOGUE_FP16_OUTPUT) != 0u) {
        STORE_PAIRS(output_pairs, v)
        if ((EPILOGUE & EPILOGUE_KEEP) != 0u) STORE_PAIRS(kept_pairs, before)
        return;
    }
#endif
    if (column >= n) return;
    for (uint i = 0; i < rows; i++) output1[(row + i) * c_pitch4 * 4 + column] = v[i];
    if ((EPILOGUE & EPILOGUE_KEEP) != 0u)
        for (uint i = 0; i < rows; i++) kept1[(row + i) * c_pitch4 * 4 + column] = before[i];
}
#endif

#endif
