#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_quad : require
// C(M,N) = epilogue(op(A) op(B)) through addresses (matmul_pointer.glsl). Within a round of the loop everything is at a uniform
// offset from one pointer; no shared memory, no barriers, no divergent branches around it.
#define MATMUL_CONSTANTS 2
#define QUAD_STORES
#include "shaders/matmul.glsl"
layout(constant_id = 1) const uint ROWS = 16;
#include "shaders/matmul_pointer.glsl"

void main() {
    const uint m = extent(p.m, p.m_symbol);
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint row = gl_WorkGroupID.y * ROWS;
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = 0;
    add_steps(row, min(column, p.n - 1), 0, extent(p.k, p.k_symbol));
    [[unroll]] for (uint r = 0; r < ROWS; r += 4)
        if (row + r < m)
            store_rows(vec4(acc[r], acc[r + 1], acc[r + 2], acc[r + 3]), row + r, column, m, p.n, p.c_pitch4,
                       p.residual_pitch4, p.scale);
}
