#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Of block b of rows: partials(b, 0..H) = sum of d_y * (x - mean) * rstd, from column P on sum of d_y, each in the
// order of the rows, zeros where there are none: column_sums.comp makes d_gamma and d_beta of them. One invocation four columns of one block.
// -DTEXEL reads all inputs as texel buffers.
#include "shaders/common.glsl"
#include "shaders/texel.glsl"
#include "shaders/layernorm_backward_columns.h"

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 d_y_texels;
layout(binding = 2) uniform TEXELS4 x_texels;
layout(binding = 3) uniform samplerBuffer mean_texels;
layout(binding = 4) uniform samplerBuffer rstd_texels;
#define LOAD_D_Y(i) FETCH4(d_y_texels, i)
#define LOAD_X(i) FETCH4(x_texels, i)
#else
layout(std430, binding = 1) readonly buffer OutputGradient { STORED4 d_y_data[]; };
layout(std430, binding = 2) readonly buffer Input { STORED4 x_data[]; };
layout(std430, binding = 3) readonly buffer Mean { float mean_data[]; };
layout(std430, binding = 4) readonly buffer Rstd { float rstd_data[]; };
#define LOAD_D_Y(i) UNPACK4(d_y_data[i])
#define LOAD_X(i) UNPACK4(x_data[i])
#endif
layout(std430, binding = 5) writeonly buffer Partials { vec4 partials[]; };
layout(push_constant) uniform Push { LayerNormBackwardColumnsPush p; };

vec4 d_gamma = vec4(0), d_beta = vec4(0);

void add_row(uint row, uint column, float mean, float rstd) {
    const vec4 d_y = LOAD_D_Y(row * p.d_y_pitch4 + column);
    d_gamma += d_y * (LOAD_X(row * p.x_pitch4 + column) - mean) * rstd;
    d_beta += d_y;
}

void main() {
    const uint column = gl_WorkGroupID.y * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint first = gl_WorkGroupID.x * p.block_rows;
    const uint end = min(first + p.block_rows, extent(p.rows, p.rows_symbol));
    if (column >= p.columns4) return;
#ifdef TEXEL
    const uint whole = end / 4 * 4;
    for (uint row = first; row < whole; row += 4) {
        const vec4 mean = texelFetch(mean_texels, int(row / 4)), rstd = texelFetch(rstd_texels, int(row / 4));
        [[unroll]] for (uint i = 0; i < 4; i++) add_row(row + i, column, mean[i], rstd[i]);
    }
    for (uint row = max(first, whole); row < end; row++)
        add_row(row, column, texelFetch(mean_texels, int(row / 4))[row % 4], texelFetch(rstd_texels, int(row / 4))[row % 4]);
#else
    for (uint row = first; row < end; row++) add_row(row, column, mean_data[row], rstd_data[row]);
#endif
    const uint target = gl_WorkGroupID.x * 2 * p.part4 + column;
    partials[target] = d_gamma;
    partials[target + p.part4] = d_beta;
}
