#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y(T,H) = gamma * (x - mean) / sqrt(variance + epsilon) + beta for each row, the variance about the mean in a second
// pass. One workgroup a row; may work in place. -DTEXEL reads x, gamma and beta as texel buffers.
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
layout(std430, binding = 2) readonly buffer Gamma { vec4 gamma_data[]; };
layout(std430, binding = 3) readonly buffer Beta { vec4 beta_data[]; };
#define LOAD_X(i) UNPACK4(x_data[i])
#define LOAD_GAMMA(i) gamma_data[i]
#define LOAD_BETA(i) beta_data[i]
#endif
layout(std430, binding = 4) writeonly buffer Output { STORED4 y_data[]; };
layout(std430, binding = 5) writeonly buffer Mean { float mean_data[]; };
layout(std430, binding = 6) writeonly buffer Rstd { float rstd_data[]; };
layout(push_constant) uniform Push { LayerNormForwardPush p; };

// GPUs keep the row in registers. CPU drivers read it again, from their cache: unrolled, they would take seconds to
// compile a wide row.
#ifdef REDUCE_ONE_SUBGROUP
#define UNROLL
#define X(s) load_x(s)
#else
#define UNROLL [[unroll]]
#define X(s) x[s]
#endif

// Step s of this lane, zero past the end of the row.
vec4 load_x(uint s) {
    const uint column = s * LOCAL_SIZE + gl_LocalInvocationID.x;
    return EVEN || column < COLUMNS4 ? LOAD_X(gl_WorkGroupID.x * p.input_pitch4 + column) : vec4(0);
}

void main() {
    const uint row = gl_WorkGroupID.x;
    const uint lane = gl_LocalInvocationID.x;
#ifndef REDUCE_ONE_SUBGROUP
    vec4 x[STEPS];
    UNROLL for (uint s = 0; s < STEPS; s++) x[s] = load_x(s);
#endif
    float sum = 0;
    UNROLL for (uint s = 0; s < STEPS; s++) {
        const vec4 v = X(s);
        sum += (v.x + v.y) + (v.z + v.w);
    }
    const float mean = workgroup_add(sum) / float(4 * COLUMNS4);
    float squares = 0;
    UNROLL for (uint s = 0; s < STEPS; s++) {
        const vec4 v = X(s) - mean;
        if (EVEN || s * LOCAL_SIZE + lane < COLUMNS4) squares += dot(v, v);
    }
    const float rstd = 1.0 / sqrt(workgroup_add(squares) / float(4 * COLUMNS4) + p.epsilon);
    UNROLL for (uint s = 0; s < STEPS; s++) {
        const uint column = s * LOCAL_SIZE + lane;
        if (EVEN || column < COLUMNS4)
            y_data[row * p.output_pitch4 + column] =
                PACK4((X(s) - mean) * rstd * LOAD_GAMMA(column) + LOAD_BETA(column));
    }
    if (KEEP_STATISTICS != 0u && lane == 0u) {
        mean_data[row] = mean;
        rstd_data[row] = rstd;
    }
}
