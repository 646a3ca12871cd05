#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// y(T,H) = gamma * (x - mean) / sqrt(variance + epsilon) + beta for each row, the variance about the mean in a second
// pass. One workgroup a row, or two; may work in place. -DTEXEL reads x, gamma and beta as texel buffers.
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

#include "shaders/row_steps.glsl"

// A workgroup's rows: CPU drivers have two, which share what it costs to load gamma and beta. Beyond the last it comes twice.
#ifdef REDUCE_ONE_SUBGROUP
const uint ROWS = 2;
#else
const uint ROWS = 1;
#endif
#define FOR_ROWS [[unroll]] for (uint r = 0; r < ROWS; r++)

uint row[ROWS];
float mean[ROWS], rstd[ROWS], sum[ROWS], squares[ROWS];
vec4 kept_x[ROWS][KEPT_STEPS];

// Step s of this lane, zero past the end of the row.
vec4 load_x(uint r, uint s) {
    const uint column = s * LOCAL_SIZE + gl_LocalInvocationID.x;
    return EVEN || column < COLUMNS4 ? LOAD_X(row[r] * p.input_pitch4 + column) : vec4(0);
}
vec4 x_at(uint r, uint s) { return KEEPS_ROW ? kept_x[r][s] : load_x(r, s); }

void keep(uint s) { FOR_ROWS kept_x[r][s] = load_x(r, s); }
void add(uint s) {
    FOR_ROWS {
        const vec4 x = x_at(r, s);
        sum[r] += (x.x + x.y) + (x.z + x.w);
    }
}
void add_square(uint s) {
    FOR_ROWS {
        const vec4 x = x_at(r, s) - mean[r];
        if (EVEN || s * LOCAL_SIZE + gl_LocalInvocationID.x < COLUMNS4) squares[r] += dot(x, x);
    }
}
void store(uint s) {
    const uint column = s * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (!EVEN && column >= COLUMNS4) return;
    const vec4 gamma = LOAD_GAMMA(column), beta = LOAD_BETA(column);
    vec4 y[ROWS];  // all before the first is stored, which may be in place
    FOR_ROWS y[r] = (x_at(r, s) - mean[r]) * rstd[r] * gamma + beta;
    FOR_ROWS y_data[row[r] * p.output_pitch4 + column] = PACK4(y[r]);
}

void main() {
    FOR_ROWS {
        row[r] = ROWS == 1 ? gl_WorkGroupID.x : min(gl_WorkGroupID.x * ROWS + r, extent(p.rows, p.rows_symbol) - 1);
        sum[r] = squares[r] = 0;
    }
    if (KEEPS_ROW) FOR_STEPS(keep)
    FOR_STEPS(add)
    FOR_ROWS mean[r] = workgroup_add(sum[r]) / float(4 * COLUMNS4);
    FOR_STEPS(add_square)
    FOR_ROWS rstd[r] = 1.0 / sqrt(workgroup_add(squares[r]) / float(4 * COLUMNS4) + p.epsilon);
    FOR_STEPS(store)
    if (KEEP_STATISTICS != 0u && gl_LocalInvocationID.x == 0u) FOR_ROWS {
        mean_data[row[r]] = mean[r];
        rstd_data[row[r]] = rstd[r];
    }
}
