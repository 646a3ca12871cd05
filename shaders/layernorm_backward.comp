#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// d_x(T,H) = rstd * (g - mean(g) - n * mean(g * n)) + residual for each row, where n = (x - mean) * rstd is the normalized
// row and g = d_y * gamma. One workgroup a row; may work in place of d_y or of the residual. -DTEXEL reads d_y, x, gamma
// and the residual as texel buffers, -DWIDE whole vectors of them. A CPU driver's workgroup goes over a block of rows and makes,
// where it keeps rows, the sums of layernorm_backward_columns.comp as well.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/blocks.glsl"
#include "shaders/layernorm_backward.h"

layout(constant_id = 1) const uint COLUMNS4 = 1;  // H / 4
layout(constant_id = 2) const uint RESIDUAL = 0;  // is there one?
const uint STEPS = (COLUMNS4 + LOCAL_SIZE - 1) / LOCAL_SIZE;
const bool EVEN = COLUMNS4 % LOCAL_SIZE == 0;  // no lane is ever past the end of a row

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 d_y_texels;
layout(binding = 2) uniform TEXELS4 x_texels;
layout(binding = 3) uniform samplerBuffer gamma_texels;
layout(binding = 6) uniform TEXELS4 residual_texels;
#elif !defined(WIDE)
layout(std430, binding = 1) readonly buffer OutputGradient { STORED4 d_y_data[]; };
layout(std430, binding = 2) readonly buffer Input { STORED4 x_data[]; };
layout(std430, binding = 3) readonly buffer Gamma { vec4 gamma_data[]; };
layout(std430, binding = 6) readonly buffer Residual { STORED4 residual_data[]; };
#endif
layout(std430, binding = 4) readonly buffer Mean { float mean_data[]; };
layout(std430, binding = 5) readonly buffer Rstd { float rstd_data[]; };
#ifndef WIDE
layout(std430, binding = 7) writeonly buffer InputGradient { STORED4 d_x_data[]; };
#endif
#if defined(REDUCE_ONE_SUBGROUP) && !defined(WIDE)
layout(std430, binding = 8) writeonly buffer Partials { vec4 partials_data[]; };
#endif
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t d_y_address, x_address, gamma_address, residual_address, d_x_address, partials_address;
#endif
    LayerNormBackwardPush p;
};

#include "shaders/row_steps.glsl"
const uint FULL_STEPS = EVEN ? STEPS : KEEPS_ROW ? STEPS - 1 : 0;  // of them all lanes are inside

uint row;
float mean, rstd, sum, product;
vec4 kept_n[KEPT_STEPS];
#ifdef REDUCE_ONE_SUBGROUP
vec4 kept_d_y[KEPT_STEPS], held_gamma[HELD_STEPS], d_gamma[HELD_STEPS], d_beta[HELD_STEPS];
#else
vec4 kept_g[KEPT_STEPS];
#endif

uint block_of(uint s) { return s * LOCAL_SIZE; }
bool inside(uint s) { return s < FULL_STEPS || block_of(s) + gl_LocalInvocationID.x < COLUMNS4; }

#ifdef REDUCE_ONE_SUBGROUP
void hold(uint s) {
    held_gamma[s] = inside(s) ? LOAD_FLOATS(gamma, block_of(s)) : vec4(0);
    d_gamma[s] = d_beta[s] = vec4(0);
}
#endif
// Step s of this lane, zero past the end of the row.
vec4 load_d_y(uint s) { return inside(s) ? LOAD_BLOCK(d_y, row * p.d_y_pitch4 + block_of(s)) : vec4(0); }
vec4 load_g(uint s) {
    return inside(s) ? LOAD_BLOCK(d_y, row * p.d_y_pitch4 + block_of(s)) * LOAD_FLOATS(gamma, block_of(s)) : vec4(0);
}
vec4 load_n(uint s) { return inside(s) ? (LOAD_BLOCK(x, row * p.x_pitch4 + block_of(s)) - mean) * rstd : vec4(0); }

vec4 n_of(uint s) { return KEEPS_ROW ? kept_n[s] : load_n(s); }
#ifdef REDUCE_ONE_SUBGROUP
vec4 g_of(uint s) { return HOLDS ? kept_d_y[s] * held_gamma[s] : load_g(s); }
#else
vec4 g_of(uint s) { return kept_g[s]; }
#endif

void add(uint s) {
    if (KEEPS_ROW) {
        kept_n[s] = load_n(s);
#ifdef REDUCE_ONE_SUBGROUP
        kept_d_y[s] = load_d_y(s);
#else
        kept_g[s] = load_g(s);
#endif
    }
    const vec4 g = g_of(s);
    sum += (g.x + g.y) + (g.z + g.w);
    product += dot(g, n_of(s));
}
void store(uint s) {
    if (!inside(s)) return;
#ifdef REDUCE_ONE_SUBGROUP
    if (HOLDS) {
        d_gamma[s] += kept_d_y[s] * kept_n[s];
        d_beta[s] += kept_d_y[s];
    }
#endif
    vec4 d_x = (g_of(s) - sum - n_of(s) * product) * rstd;
    if (RESIDUAL != 0u) d_x += LOAD_BLOCK(residual, row * p.residual_pitch4 + block_of(s));
    TOUCH_BLOCK(d_x, row * p.d_x_pitch4 + block_of(s))
    STORE_BLOCK(d_x, row * p.d_x_pitch4 + block_of(s), d_x)
}

void differentiate() {
    mean = mean_data[row], rstd = rstd_data[row];
    sum = product = 0;
    FOR_STEPS(add)
    sum = workgroup_add(sum) * one_part();
    product = workgroup_add(product) * one_part();
    FOR_STEPS(store)
}

#ifdef REDUCE_ONE_SUBGROUP
void store_sums(uint s) {
    if (!inside(s)) return;
    const uint target = gl_WorkGroupID.x * 2 * p.part4 + block_of(s);
    STORE_FLOATS(partials, target, AS_VECTOR(d_gamma[s]))
    STORE_FLOATS(partials, target + p.part4, AS_VECTOR(d_beta[s]))
}
#endif

void main() {
    FOR_ROWS(differentiate)
#ifdef REDUCE_ONE_SUBGROUP
    if (HOLDS) FOR_STEPS(store_sums)
#endif
    KEEP_TOUCHED(d_x)
}
