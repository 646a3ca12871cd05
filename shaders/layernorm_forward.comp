#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y(T,H) = gamma * (x - mean) / sqrt(variance + epsilon) + beta for each row, the variance about the mean in a second
// pass. One workgroup a row, of a CPU driver several; may work in place. -DTEXEL reads x, gamma and beta as texel buffers, -DWIDE
// whole vectors of them.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/blocks.glsl"
#include "shaders/layernorm_forward.h"

layout(constant_id = 1) const uint COLUMNS4 = 1;         // H / 4
layout(constant_id = 2) const uint KEEP_STATISTICS = 0;  // write mean and 1 / sqrt(variance + epsilon)
const uint STEPS = (COLUMNS4 + LOCAL_SIZE - 1) / LOCAL_SIZE;
const bool EVEN = COLUMNS4 % LOCAL_SIZE == 0;  // no lane is ever past the end of a row

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 x_texels;
layout(binding = 2) uniform samplerBuffer gamma_texels;
layout(binding = 3) uniform samplerBuffer beta_texels;
#elif !defined(WIDE)
layout(std430, binding = 1) readonly buffer Input { STORED4 x_data[]; };
layout(std430, binding = 2) readonly buffer Gamma { vec4 gamma_data[]; };
layout(std430, binding = 3) readonly buffer Beta { vec4 beta_data[]; };
#endif
#ifndef WIDE
layout(std430, binding = 4) writeonly buffer Output { STORED4 y_data[]; };
#endif
layout(std430, binding = 5) writeonly buffer Mean { float mean_data[]; };
layout(std430, binding = 6) writeonly buffer Rstd { float rstd_data[]; };
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t x_address, gamma_address, beta_address, y_address;
#endif
    LayerNormForwardPush p;
};

#include "shaders/row_steps.glsl"
const uint FULL_STEPS = EVEN ? STEPS : KEEPS_ROW ? STEPS - 1 : 0;  // of them all lanes are inside

uint row;
float mean, rstd, sum, squares;
vec4 kept_x[KEPT_STEPS], held_gamma[HELD_STEPS], held_beta[HELD_STEPS];

uint block_of(uint s) { return s * LOCAL_SIZE; }
bool inside(uint s) { return s < FULL_STEPS || block_of(s) + gl_LocalInvocationID.x < COLUMNS4; }

void hold(uint s) {
    held_gamma[s] = inside(s) ? LOAD_FLOATS(gamma, block_of(s)) : vec4(0);
    held_beta[s] = inside(s) ? LOAD_FLOATS(beta, block_of(s)) : vec4(0);
}
// Step s of this lane, zero past the end of the row.
vec4 load_x(uint s) { return inside(s) ? LOAD_BLOCK(x, row * p.input_pitch4 + block_of(s)) : vec4(0); }
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
    const vec4 gamma = HOLDS ? held_gamma[s] : LOAD_FLOATS(gamma, block_of(s));
    const vec4 beta = HOLDS ? held_beta[s] : LOAD_FLOATS(beta, block_of(s));
    const vec4 y = (x_at(s) - mean) * rstd * gamma + beta;
    TOUCH_BLOCK(y, row * p.output_pitch4 + block_of(s))
    STORE_BLOCK(y, row * p.output_pitch4 + block_of(s), y)
}

void normalize() {
    sum = squares = 0;
    if (KEEPS_ROW) FOR_STEPS(keep)
    FOR_STEPS(add)
    mean = workgroup_add(sum) * one_part();
    FOR_STEPS(add_square)
    rstd = 1.0 / sqrt(workgroup_add(squares) * one_part() + p.epsilon);
    FOR_STEPS(store)
    if (KEEP_STATISTICS != 0u && gl_LocalInvocationID.x == 0u) {
        mean_data[row] = mean;
        rstd_data[row] = rstd;
    }
}

void main() {
    FOR_ROWS(normalize)
    KEEP_TOUCHED(y)
}
