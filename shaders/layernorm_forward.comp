#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y(T,H) = gamma * (x - mean) / sqrt(variance + epsilon) + beta for each row, the variance about the mean in a second
// pass. One workgroup a row, of a CPU driver several; may work in place. -DTEXEL reads x, gamma and beta as texel buffers.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/texel.glsl"
#include "shaders/layernorm_forward.h"

layout(constant_id = 1) const uint COLUMNS4 = 1;         // H / 4
layout(constant_id = 2) const uint KEEP_STATISTICS = 0;  // write mean and 1 / sqrt(variance + epsilon)
const uint STEPS = (COLUMNS4 + LOCAL_SIZE - 1) / LOCAL_SIZE;
const bool EVEN = COLUMNS4 % LOCAL_SIZE == 0;  // no lane is ever past the end of a row

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 x_texels;
layout(binding = 2) uniform samplerBuffer gamma_texels;
layout(binding = 3) uniform samplerBuffer beta_texels;
#define LOAD_X(i) FETCH4(x_texels, i)
#define LOAD_GAMMA(i) texelFetch(gamma_texels, int(i))
#define LOAD_BETA(i) texelFetch(beta_texels, int(i))
#else
layout(std430, binding = 1) readonly buffer Input { STORED4 x_data[]; };
layout(std430, binding = 2) readonly buffer Gamma { FLOAT4 gamma_data[]; };
layout(std430, binding = 3) readonly buffer Beta { FLOAT4 beta_data[]; };
#define LOAD_X(i) UNPACK4(x_data[i])
#define LOAD_GAMMA(i) UNPACK_FLOAT4(gamma_data[i])
#define LOAD_BETA(i) UNPACK_FLOAT4(beta_data[i])
#endif
layout(std430, binding = 4) writeonly buffer Output { STORED4 y_data[]; };
layout(std430, binding = 5) writeonly buffer Mean { float mean_data[]; };
layout(std430, binding = 6) writeonly buffer Rstd { float rstd_data[]; };
layout(push_constant) uniform Push { LayerNormForwardPush p; };

#include "shaders/row_steps.glsl"
const uint FULL_STEPS = EVEN ? STEPS : KEEPS_ROW ? STEPS - 1 : 0;  // of them all lanes are inside

uint row;
float mean, rstd, sum, squares;
vec4 kept_x[KEPT_STEPS], held_gamma[HELD_STEPS], held_beta[HELD_STEPS];

uint column_of(uint s) { return s * LOCAL_SIZE + gl_LocalInvocationID.x; }
bool inside(uint s) { return s < FULL_STEPS || column_of(s) < COLUMNS4; }

void hold(uint s) {
    held_gamma[s] = inside(s) ? LOAD_GAMMA(column_of(s)) : vec4(0);
    held_beta[s] = inside(s) ? LOAD_BETA(column_of(s)) : vec4(0);
}
// Step s of this lane, zero past the end of the row.
vec4 load_x(uint s) { return inside(s) ? LOAD_X(row * p.input_pitch4 + column_of(s)) : vec4(0); }
vec4 x_at(uint s) { return KEEPS_ROW ? kept_x[s] : load_x(s); }

void keep(uint s) { kept_x[s] = load_x(s); }
void add(uint s) {
    const vec4 x = x_at(s);
    sum += (x.x + x.y) + (x.z + x.w);
}
void add_square(uint s) {
    const vec4 x = x_at(s) - mean;
    if (inside(s)) squares += dot(x, x);
}
void store(uint s) {
    if (!inside(s)) return;
    const vec4 gamma = HOLDS ? held_gamma[s] : LOAD_GAMMA(column_of(s)), beta = HOLDS ? held_beta[s] : LOAD_BETA(column_of(s));
    y_data[row * p.output_pitch4 + column_of(s)] = PACK4((x_at(s) - mean) * rstd * gamma + beta);
}

void normalize() {
    sum = squares = 0;
    if (KEEPS_ROW) FOR_STEPS(keep)
    FOR_STEPS(add)
    mean = workgroup_add(sum) / float(4 * COLUMNS4);
    FOR_STEPS(add_square)
    rstd = 1.0 / sqrt(workgroup_add(squares) / float(4 * COLUMNS4) + p.epsilon);
    FOR_STEPS(store)
    if (KEEP_STATISTICS != 0u && gl_LocalInvocationID.x == 0u) {
        mean_data[row] = mean;
        rstd_data[row] = rstd;
    }
}

void main() { FOR_ROWS(normalize) }
