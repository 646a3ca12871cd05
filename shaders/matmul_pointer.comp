#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_quad : require
// C(M,N) = epilogue(A(M,K) B(N,K)^T) through 64-bit addresses, for CPU drivers that see that an address is the same in
// all lanes and then load it once, as a scalar: ROWS rows by one column an invocation, lanes along N. Within a round of the
// loop everything is at a uniform offset from one pointer; no shared memory, no barriers, no divergent branches around it.
//
// Rows of A from M on are read, within Plan::read_slack of its end, and not used. A row of A or B ends with zeros up to the
// next multiple of four elements. The other orientations come here with transposed operands (runtime/ops/matmul.cpp).
#define MATMUL_CONSTANTS 2
#define QUAD_STORES
#include "shaders/matmul.glsl"
layout(constant_id = 1) const uint ROWS = 16;  // a multiple of 4

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Elements4 { STORED4 at[]; };
layout(push_constant) uniform Push {
    uint64_t a, b;
    MatmulPush p;
};
#ifdef FP16
const uint BYTES4 = 8;  // of four elements
#else
const uint BYTES4 = 16;
#endif

// A macro, because older glslang gives references that functions return no aliasing decoration.
#define ELEMENTS_AT(base, row, pitch4, k4) Elements4(base + uint64_t((row) * (pitch4) + (k4)) * BYTES4)
#define DOT(sum, s, t) sum += s.x * t.x; sum += s.y * t.y; sum += s.z * t.z; sum += s.w * t.w;

void main() {
    const uint m = extent(p.m, p.m_symbol);
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint row = gl_WorkGroupID.y * ROWS;
    const uint b_row = min(column, p.n - 1);

    float acc[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = 0;
    // Four steps of four elements each time round: every round blends all sums with the execution mask.
    const uint steps = (extent(p.k, p.k_symbol) + 3) / 4;
    const uint whole = steps & ~3u;
    for (uint k4 = 0; k4 < whole; k4 += 4) {
        Elements4 x = ELEMENTS_AT(a, row, p.a_pitch4, k4), y = ELEMENTS_AT(b, b_row, p.b_pitch4, k4);
        [[unroll]] for (uint u = 0; u < 4; u++) {
            const vec4 t = UNPACK4(y.at[u]);
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                const vec4 s = UNPACK4(x.at[r * p.a_pitch4 + u]);
                DOT(acc[r], s, t)
            }
        }
    }
    for (uint k4 = whole; k4 < steps; k4++) {
        Elements4 x = ELEMENTS_AT(a, row, p.a_pitch4, k4), y = ELEMENTS_AT(b, b_row, p.b_pitch4, k4);
        const vec4 t = UNPACK4(y.at[0]);
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            const vec4 s = UNPACK4(x.at[r * p.a_pitch4]);
            DOT(acc[r], s, t)
        }
    }
    [[unroll]] for (uint r = 0; r < ROWS; r += 4)
        if (row + r < m)
            store_rows(vec4(acc[r], acc[r + 1], acc[r + 2], acc[r + 3]), row + r, column, m, p.n, p.c_pitch4,
                       p.residual_pitch4, p.scale);
}
