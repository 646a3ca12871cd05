#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_quad : require
// C(M,N) = epilogue(op(A) op(B)) for many rows of fp32 through 64-bit addresses, on CPU drivers that load through an address that all lanes
// share once, as a scalar. A^T and B lie in strips (matmul_pack.comp), of ROWS rows and of LOCAL_SIZE columns of C: for a step of K they
// are ROWS scalars and one load of a vector, one step behind the other. Where they lie, steps are pages apart: there the operands of
// a gradient of weights cost a third of the time, in misses. ROWS by one column an invocation; a workgroup goes over TILES strips of A.
//
// What is read of push constants or storage buffers is read before the first loop: such a load has a test for the bound, behind which
// LLVM moves the additions whose sums it does not need before, and all products wait on the stack for them, which takes twice as long.
#define MATMUL_CONSTANTS 4
#include "shaders/matmul.glsl"
#include "shaders/lane_loads.glsl"
layout(constant_id = 1) const uint ROWS = 16;
layout(constant_id = 2) const uint TILES = 8;
layout(constant_id = 3) const uint STEPS_AT_ONCE = 64;  // every round blends all sums with the execution mask: 16 take a quarter longer

// C holds what is added to, and stands for the residual.
const bool IN_PLACE = (EPILOGUE & EPILOGUE_IN_PLACE) != 0u;
const bool EVEN_COLUMNS = (EPILOGUE & EPILOGUE_EVEN_COLUMNS) != 0u;
const bool EVEN_STEPS = (EPILOGUE & EPILOGUE_EVEN_STEPS) != 0u;

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Bits { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer FloatsOut { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer FloatPairsOut { uint64_t at[]; };
layout(push_constant) uniform Push {
    uint64_t a, b, c, residual, kept;
    MatmulPush p;
};
MatmulPush call = p;

uint zero;  // counts[0], which no compiler knows
float acc[ROWS];
float bias_of_column = 0;

uint first_column() { return gl_WorkGroupID.x * LOCAL_SIZE + gl_SubgroupID * gl_SubgroupSize; }

// `count` steps from k on, of a strip of A. When all lanes have left a loop llvmpipe goes through its body once more, and loads; but it
// skips what a branch encloses that no lane takes. Hence add_steps asks the same again, by a condition that the compiler does not know to
// be the loop's: the products of 1,024 rows and 768 steps take 3 to 10% less time (`vkbert bench matmul-strips`). A loop that tests at
// its end takes three times as long: all scalars are loaded and broadcast before the first product.
#define ADD_STEPS(count, strip, step) {                                                                                       \
    const uint k = min(step, max(call.k, count) - count);                                                                    \
    Floats x = Floats(a + (uint64_t(strip) * call.a_pitch4 * 4 + k * ROWS) * 4);                                              \
    Floats y = Floats(b + (uint64_t(gl_WorkGroupID.x) * call.b_pitch4 * 4 + (k * LOCAL_SIZE + gl_SubgroupID * gl_SubgroupSize)) * 4); \
    [[unroll]] for (uint i = 0; i < count; i++) {                                                                             \
        const float t = float_of_lane(y, i * LOCAL_SIZE);                                                                     \
        [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] += x.at[i * ROWS + r] * t;                                          \
    }                                                                                                                         \
}

void add_steps(uint strip, uint end) {
    const uint whole_end = end / STEPS_AT_ONCE * STEPS_AT_ONCE, groups_end = end / 4 * 4;
    for (uint step = 0; step < whole_end; step += STEPS_AT_ONCE)
        if (step + zero < whole_end) ADD_STEPS(STEPS_AT_ONCE, strip, step)
    if (EVEN_STEPS) return;
    for (uint step = whole_end; step < groups_end; step += 4)
        if (step + zero < groups_end) ADD_STEPS(4, strip, step)
    for (uint step = groups_end; step < end; step++)
        if (step + zero < end) ADD_STEPS(1, strip, step)
}

uint64_t at(uint64_t base, uint row, uint pitch4, uint column) { return base + (uint64_t(row) * pitch4 * 4 + column) * 4; }
float lanes_at(uint64_t base, uint row, uint pitch4) { return float_of_lane(Floats(at(base, row, pitch4, first_column())), 0); }

// Rows `row` and `row` + 1: neighbouring lanes exchange halves of them, since 64 bits are scattered in the time of 32.
void store_rows(uint64_t base, uint row, vec2 v) {
    const bool odd = (gl_SubgroupInvocationID & 1u) != 0u;
    const float got = subgroupQuadSwapHorizontal(odd ? v.x : v.y);
    const uint64_t low = uint64_t(floatBitsToUint(odd ? got : v.x)), high = uint64_t(floatBitsToUint(odd ? v.y : got));
    FloatPairsOut pairs = FloatPairsOut(at(base, row, call.c_pitch4, first_column()));
    pairs.at[gl_SubgroupInvocationID / 2 + (odd ? call.c_pitch4 * 2 : 0)] = low | high << 32;
}

void store_pair(uint row, vec2 sums) {
    vec2 v = sums * call.scale + bias_of_column;
    if (IN_PLACE) v += vec2(lanes_at(c, row, call.c_pitch4), lanes_at(c, row + 1, call.c_pitch4));
    if ((EPILOGUE & EPILOGUE_KEEP) != 0u) store_rows(kept, row, v);
    if (follows(EPILOGUE_ACTIVATION, call.epilogue)) v = before_residual(vec4(v, v)).xy;
    if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u && !IN_PLACE) {
        // Loaded also where it does not follow: then from elsewhere, readable all the same.
        const vec2 r = vec2(lanes_at(residual, row, call.residual_pitch4), lanes_at(residual, row + 1, call.residual_pitch4));
        if (follows(EPILOGUE_RESIDUAL, call.epilogue)) v = with_residual(vec4(v, v), vec4(r, r)).xy;
    }
    store_rows(c, row, v);
}

void store_one(uint row, uint column, float sum) {
    FloatsOut to = FloatsOut(at(c, row, call.c_pitch4, column));
    float v = sum * call.scale + bias_of_column;
    if (IN_PLACE) v += to.at[0];
    if ((EPILOGUE & EPILOGUE_KEEP) != 0u) FloatsOut(at(kept, row, call.c_pitch4, column)).at[0] = v;
    if (follows(EPILOGUE_ACTIVATION, call.epilogue)) v = before_residual(vec4(v)).x;
    if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u && !IN_PLACE && follows(EPILOGUE_RESIDUAL, call.epilogue))
        v = with_residual(vec4(v), vec4(Floats(at(residual, row, call.residual_pitch4, column)).at[0])).x;
    to.at[0] = v;
}

void main() {
    const uint m = extent(call.m, call.m_symbol), k = extent(call.k, call.k_symbol);
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint first_row = gl_WorkGroupID.y * ROWS * TILES, end_row = min(m, first_row + ROWS * TILES);
    // What is loaded of the rows that a tile will be stored to: a scatter finds them in the cache then, and its misses overlap with
    // the products (5% of the time at 16 lanes). Kept by a condition that LLVM does not know: `zero` is 0 (runtime/types.hpp).
    uint touched = 0;
    zero = counts[0];
    const uint last = call.m - 1;
    const uint last_row = (call.m - 1) / ROWS * ROWS;
    if ((EPILOGUE & EPILOGUE_BIAS) != 0u) bias_of_column = bias[min(column, call.n - 1)];
    for (uint row = first_row; row < end_row; row += ROWS) {
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            acc[r] = 0;
            touched |= Bits(at(c, min(row + r, last), call.c_pitch4, first_column())).at[0];
        }
        add_steps(min(row, last_row) / ROWS, k);
        if (EVEN_COLUMNS && row + ROWS <= m)
            [[unroll]] for (uint r = 0; r < ROWS; r += 2) store_pair(row + r, vec2(acc[r], acc[r + 1]));
        else
            [[unroll]] for (uint r = 0; r < ROWS; r++)
                if (row + r < m && column < call.n) store_one(row + r, column, acc[r]);
    }
    if ((touched & zero) != 0u) FloatsOut(c).at[0] = 0;  // never
}
