#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_quad : require
// C(M,N) = epilogue(op(A) op(B)), any orientation, for CPU drivers that turn a storage buffer load into a loop over lanes
// but a texel fetch into whole vector loads: A and B are uniform texel buffers of four elements a texel.
//
// An invocation makes ROWS x 4 elements of C; ROWS is 16, or 4 for few rows. Each lane of a quad fetches another texel
// of A, and quad broadcasts hand them round, which leaves a quarter of the fetches. No shared memory, no barriers; every
// lane stays active until the stores, for the broadcasts' sake.
//
// -DBUFFERS: A and B are storage buffers, for drivers whose texel buffers are too short and that unroll loops, which keep this
// module small.
#define MATMUL_CONSTANTS 1
#include "shaders/matmul.glsl"
#include "shaders/repeat.glsl"

#ifdef BUFFERS
#extension GL_EXT_control_flow_attributes : require
layout(constant_id = 99) const uint QUARTER = ROWS / 4;  // nobody sets it: glslc leaves the loops as they are
#define REPEAT_ROWS(BODY) [[unroll]] for (uint r = 0; r < 4 * QUARTER; r++) { BODY(r) }
#define REPEAT_ROW_GROUPS(BODY) [[unroll]] for (uint j = 0; j < QUARTER; j++) { BODY(j) }
#elif ROWS == 16
#define REPEAT_ROWS REPEAT_16
#define REPEAT_ROW_GROUPS REPEAT_4
#else
#define REPEAT_ROWS REPEAT_4
#define REPEAT_ROW_GROUPS(BODY) BODY(0)
#endif

#ifdef BUFFERS
layout(std430, binding = 1) readonly buffer A { STORED4 a[]; };
layout(std430, binding = 2) readonly buffer B { STORED4 b[]; };
#define FETCH(source, index) UNPACK4(source[index])
#elif defined(FP16)
layout(binding = 1) uniform usamplerBuffer a;
layout(binding = 2) uniform usamplerBuffer b;
#define FETCH(source, index) unpack_halves(texelFetch(source, int(index)).xy)
#else
layout(binding = 1) uniform samplerBuffer a;
layout(binding = 2) uniform samplerBuffer b;
#define FETCH(source, index) texelFetch(source, int(index))
#endif
layout(push_constant) uniform Push { MatmulPush p; };

// Four texels of B, y[0] to y[3]. nt: column i of this lane's four, four steps along K; nn, tn: four columns, step i.
#define FETCH_B(i) y[i] = FETCH(b, b_at[i] + (ORIENTATION == ORIENTATION_NT ? k4 : min(4 * k4 + i, k - 1) * p.b_pitch4));

// This lane's texel j of A. nt, nn: row 4j + lane of the quad, four steps along K; tn: rows 4j to 4j + 3, step lane of
// the quad.
#define FETCH_A(j)                                                                                   \
    x[j] = FETCH(a, a_at[j] + (ORIENTATION == ORIENTATION_TN ? min(step, k - 1) * p.a_pitch4 : k4)); \
    if (ORIENTATION == ORIENTATION_TN && step >= k) x[j] = vec4(0);

// Row 4j + i of A (tn: step i of rows 4j to 4j + 3) times all of y. One accumulator is finished before the next is
// begun: they do not all fit in registers.
#define DOT(sum, s, t) sum += s.x * t.x; sum += s.y * t.y; sum += s.z * t.z; sum += s.w * t.w;
#define MULTIPLY(j, i)                                                              \
    {                                                                               \
        const vec4 s = subgroupQuadBroadcast(x[j], i);                              \
        if (ORIENTATION == ORIENTATION_NT) {                                        \
            DOT(acc[4 * j + i].x, s, y[0])                                          \
            DOT(acc[4 * j + i].y, s, y[1])                                          \
            DOT(acc[4 * j + i].z, s, y[2])                                          \
            DOT(acc[4 * j + i].w, s, y[3])                                          \
        } else if (ORIENTATION == ORIENTATION_NN) {                                 \
            acc[4 * j + i] += s.x * y[0] + s.y * y[1] + s.z * y[2] + s.w * y[3];    \
        } else {                                                                    \
            acc[4 * j] += s.x * y[i];                                               \
            acc[4 * j + 1] += s.y * y[i];                                           \
            acc[4 * j + 2] += s.z * y[i];                                           \
            acc[4 * j + 3] += s.w * y[i];                                           \
        }                                                                           \
    }
#define MULTIPLY_GROUP(j) REPEAT_INNER_4(MULTIPLY, j)

#define PLACE_A(j)                                                                              \
    a_at[j] = ORIENTATION == ORIENTATION_TN ? min(row / 4 + j, (m - 1) / 4)                     \
                                            : min(row + 4 * j + quad_lane, m - 1) * p.a_pitch4;
#define PLACE_B(i) \
    b_at[i] = ORIENTATION == ORIENTATION_NT ? min(4 * column4 + i, p.n - 1) * p.b_pitch4 : min(column4, (p.n - 1) / 4);
#define CLEAR(r) acc[r] = vec4(0);
#define MOVE_UP(r) acc[r] = acc[r + 1];

void main() {
    const uint m = extent(p.m, p.m_symbol);
    const uint k = extent(p.k, p.k_symbol);
    const uint column4 = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    uint row = gl_WorkGroupID.y * ROWS;
    const uint quad_lane = gl_SubgroupInvocationID & 3u;

    uint a_at[ROWS / 4], b_at[4];
    vec4 acc[ROWS], x[ROWS / 4], y[4];
    REPEAT_ROW_GROUPS(PLACE_A)
    REPEAT_4(PLACE_B)
    REPEAT_ROWS(CLEAR)
    // Loops that test at their end: Mesa 22.3 moves a `for` loop's step to the start of the next turn, behind a test whether there
    // was one, and keeps two of every sum, the last and the next (`vkbert bench matmul`: 48 GFLOP/s in place of 61).
    uint k4 = 0;
    if (k > 0) do {
        const uint step = 4 * k4 + quad_lane;
        REPEAT_4(FETCH_B)
        REPEAT_ROW_GROUPS(FETCH_A)
        REPEAT_ROW_GROUPS(MULTIPLY_GROUP)
    } while (4 * ++k4 < k);
    if (4 * column4 >= p.n || row >= m) return;
    // The code of one store, and no sum is indexed by what a compiler may not know. Not a loop of ROWS turns, which Mesa would unroll:
    // half of the time to compile (tools/bench/cold_start.py).
    const uint end = min(row + ROWS, m);
    do {
        store4(acc[0], row, column4, p.n, p.c_pitch4, p.residual_pitch4, p.scale, p.dropout_site, p.epilogue);
        MOVE_UP(0) MOVE_UP(1) MOVE_UP(2)
#if ROWS == 16
        MOVE_UP(3) MOVE_UP(4) MOVE_UP(5) MOVE_UP(6) MOVE_UP(7) MOVE_UP(8) MOVE_UP(9) MOVE_UP(10) MOVE_UP(11)
        MOVE_UP(12) MOVE_UP(13) MOVE_UP(14)
#endif
    } while (++row < end);
}
