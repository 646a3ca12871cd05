#version 450
#extension GL_GOOGLE_include_directive : require
// C(M,N) = epilogue(op(A) op(B)), any orientation: the variant for any device and for few rows. No shared memory, no
// subgroup operations, no barriers; one invocation makes 4x4 elements of C from vec4 loads.
#define MATMUL_CONSTANTS 1
#include "shaders/matmul.glsl"
#include "shaders/repeat.glsl"

layout(std430, binding = 1) readonly buffer A { STORED4 a[]; };
layout(std430, binding = 2) readonly buffer B { STORED4 b[]; };
layout(push_constant) uniform Push { MatmulPush p; };

// Row (tn: step) i of A, and column (nn, tn: step) i of B, of the four by four at hand. Rows and columns beyond the end
// repeat the last, and are not stored.
#define LOAD(i)                                                                                    \
    x[i] = ORIENTATION == ORIENTATION_TN ? UNPACK4(a[min(4 * k4 + i, k - 1) * p.a_pitch4 + row / 4])        \
                                         : UNPACK4(a[min(row + i, m - 1) * p.a_pitch4 + k4]);      \
    y[i] = ORIENTATION == ORIENTATION_NT ? UNPACK4(b[min(4 * column4 + i, p.n - 1) * p.b_pitch4 + k4])      \
                                         : UNPACK4(b[min(4 * k4 + i, k - 1) * p.b_pitch4 + column4]); \
    if (ORIENTATION == ORIENTATION_TN && 4 * k4 + i >= k) x[i] = vec4(0);
#define MULTIPLY(i)                                                                                \
    if (ORIENTATION == ORIENTATION_NT)                                                             \
        acc[i] += vec4(dot(x[i], y[0]), dot(x[i], y[1]), dot(x[i], y[2]), dot(x[i], y[3]));        \
    else if (ORIENTATION == ORIENTATION_NN)                                                        \
        acc[i] += x[i].x * y[0] + x[i].y * y[1] + x[i].z * y[2] + x[i].w * y[3];                   \
    else                                                                                           \
        acc[i] += x[0][i] * y[0] + x[1][i] * y[1] + x[2][i] * y[2] + x[3][i] * y[3];
#define CLEAR(i) acc[i] = vec4(0);
#define STORE(i) \
    if (row + i < m) store4(acc[i], row + i, column4, p.n, p.c_pitch4, p.residual_pitch4, p.scale, p.dropout_site, p.epilogue);

void main() {
    const uint m = extent(p.m, p.m_symbol);
    const uint k = extent(p.k, p.k_symbol);
    const uint column4 = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint row = gl_WorkGroupID.y * 4;
    if (4 * column4 >= p.n || row >= m) return;

    vec4 acc[4], x[4], y[4];
    REPEAT_4(CLEAR)
    for (uint k4 = 0; k4 < (k + 3) / 4; k4++) {
        REPEAT_4(LOAD)
        REPEAT_4(MULTIPLY)
    }
    REPEAT_4(STORE)
}
