#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_quad : require
// C(M,N) = epilogue(op(A) op(B)) through addresses (matmul_pointer.glsl), for many rows of fp32: an invocation keeps HELD steps of
// its column of B while it goes over ROWS x TILES rows of A with them. A CPU driver keeps them on its stack as whole vectors, so
// that a column's elements are gathered once a workgroup and not once every ROWS rows. Sums of earlier steps wait in C.
#define MATMUL_CONSTANTS 3
#include "shaders/matmul.glsl"
layout(constant_id = 1) const uint ROWS = 8;
layout(constant_id = 2) const uint TILES = 32;
layout(constant_id = MATMUL_CONSTANTS + 4) const uint HELD = 128;  // a multiple of 4, best a divisor of K
#include "shaders/matmul_pointer.glsl"

// C holds what is added to, and stands for the residual.
const bool IN_PLACE = (EPILOGUE & EPILOGUE_IN_PLACE) != 0u;

// Stores scale * sum, added to the sums of earlier steps; after the last ones with the epilogue.
void store1(float sum, uint row, uint column, bool first, bool last) {
    const uint at = row * p.c_pitch4 * 4 + column;
    float v = sum * p.scale;
    if (IN_PLACE || !first) v += output1[at];
    if (last) {
        if ((EPILOGUE & EPILOGUE_BIAS) != 0u) v += bias[column];
        if ((EPILOGUE & EPILOGUE_KEEP) != 0u) kept1[at] = v;
        v = before_residual(vec4(v)).x;
        if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u && !IN_PLACE)
            v = with_residual(vec4(v), vec4(residual1[row * p.residual_pitch4 * 4 + column])).x;
    }
    output1[at] = v;
}

// Every sum has a use on either side of the branch: LLVM moves the additions of one that is used in a single conditional block
// into that block, with all their products waiting on the stack (22 instead of 60 GFLOP/s).
void store(uint row, uint column, uint m, bool first, bool last) {
    if (row + ROWS <= m) {
        if (column < p.n)
            [[unroll]] for (uint r = 0; r < ROWS; r++) store1(acc[r], row + r, column, first, last);
    } else {
        [[unroll]] for (uint r = 0; r < ROWS; r++)
            if (row + r < m && column < p.n) store1(acc[r], row + r, column, first, last);
    }
}

void main() {
    const uint m = extent(p.m, p.m_symbol), k = extent(p.k, p.k_symbol);
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x, b_row = min(column, p.n - 1);
    const uint first_row = gl_WorkGroupID.y * ROWS * TILES, end_row = min(m, first_row + ROWS * TILES);
    const uint last_row = (p.m - 1) / ROWS * ROWS, whole = k / HELD * HELD;
    for (uint begin = 0; begin < whole; begin += HELD) {
        vec4 held[HELD / 4];
        const uint from = readable(begin, HELD);
        Gathered4 y = B_ALONG_AT(b_row, from);
        Words z = B_ACROSS_AT(b_row, from);
        [[unroll]] for (uint u = 0; u < HELD / 4; u++) {
            LOAD_B(t, u, y, z, b_row)
            held[u] = t;
        }
        for (uint row = first_row; row < end_row; row += ROWS) {
            [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = 0;
            Elements4 x = A_AT(min(row, last_row), from);
            [[unroll]] for (uint u = 0; u < HELD / 4; u++) ADD_GROUP(held[u], u, x)
            store(row, column, m, begin == 0, begin + HELD == k);
        }
    }
    if (EVEN_STEPS || whole == k && k > 0) return;
    for (uint row = first_row; row < end_row; row += ROWS) {
        [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = 0;
        add_steps(min(row, last_row), b_row, whole, k);
        store(row, column, m, whole == 0, true);
    }
}
