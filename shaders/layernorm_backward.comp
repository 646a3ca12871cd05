#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// d_x(T,H) = rstd * (g - mean(g) - n * mean(g * n)) + residual for each row, where n = (x - mean) * rstd is the normalized
// row and g = d_y * gamma. One workgroup a row; may work in place of d_y or of the residual. -DTEXEL reads d_y, x, gamma
// and the residual as texel buffers.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/texel.glsl"
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
#define LOAD_D_Y(i) FETCH4(d_y_texels, i)
#define LOAD_X(i) FETCH4(x_texels, i)
#define LOAD_GAMMA(i) texelFetch(gamma_texels, int(i))
#define LOAD_RESIDUAL(i) FETCH4(residual_texels, i)
#else
layout(std430, binding = 1) readonly buffer OutputGradient { STORED4 d_y_data[]; };
layout(std430, binding = 2) readonly buffer Input { STORED4 x_data[]; };
layout(std430, binding = 3) readonly buffer Gamma { vec4 gamma_data[]; };
layout(std430, binding = 6) readonly buffer Residual { STORED4 residual_data[]; };
#define LOAD_D_Y(i) UNPACK4(d_y_data[i])
#define LOAD_X(i) UNPACK4(x_data[i])
#define LOAD_GAMMA(i) gamma_data[i]
#define LOAD_RESIDUAL(i) UNPACK4(residual_data[i])
#endif
layout(std430, binding = 4) readonly buffer Mean { float mean_data[]; };
layout(std430, binding = 5) readonly buffer Rstd { float rstd_data[]; };
layout(std430, binding = 7) writeonly buffer InputGradient { STORED4 d_x_data[]; };
layout(push_constant) uniform Push { LayerNormBackwardPush p; };

#include "shaders/row_steps.glsl"

float mean, rstd;
vec4 kept_g[KEPT_STEPS], kept_n[KEPT_STEPS];
float sum = 0, product = 0;

// Step s of this lane, zero past the end of the row.
vec4 load_g(uint s) {
    const uint column = s * LOCAL_SIZE + gl_LocalInvocationID.x;
    return EVEN || column < COLUMNS4 ? LOAD_D_Y(gl_WorkGroupID.x * p.d_y_pitch4 + column) * LOAD_GAMMA(column) : vec4(0);
}
vec4 load_n(uint s) {
    const uint column = s * LOCAL_SIZE + gl_LocalInvocationID.x;
    return EVEN || column < COLUMNS4 ? (LOAD_X(gl_WorkGroupID.x * p.x_pitch4 + column) - mean) * rstd : vec4(0);
}

void keep(uint s) { kept_g[s] = load_g(s), kept_n[s] = load_n(s); }
void add(uint s) {
    const vec4 g = KEEPS_ROW ? kept_g[s] : load_g(s), n = KEEPS_ROW ? kept_n[s] : load_n(s);
    sum += (g.x + g.y) + (g.z + g.w);
    product += dot(g, n);
}
void store(uint s) {
    const uint row = gl_WorkGroupID.x, column = s * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (!EVEN && column >= COLUMNS4) return;
    const vec4 g = KEEPS_ROW ? kept_g[s] : load_g(s), n = KEEPS_ROW ? kept_n[s] : load_n(s);
    vec4 d_x = (g - sum - n * product) * rstd;
    if (RESIDUAL != 0u) d_x += LOAD_RESIDUAL(row * p.residual_pitch4 + column);
    d_x_data[row * p.d_x_pitch4 + column] = PACK4(d_x);
}

void main() {
    mean = mean_data[gl_WorkGroupID.x], rstd = rstd_data[gl_WorkGroupID.x];
    if (KEEPS_ROW) FOR_STEPS(keep)
    FOR_STEPS(add)
    sum = workgroup_add(sum) / float(4 * COLUMNS4);
    product = workgroup_add(product) / float(4 * COLUMNS4);
    FOR_STEPS(store)
}
