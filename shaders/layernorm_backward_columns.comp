#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Of block b of rows: partials(b, 0..H) = sum of d_y * (x - mean) * rstd, from column P on sum of d_y, zeros where there are no
// rows: column_sums.comp makes d_gamma and d_beta of them. One invocation four columns of one block. -DTEXEL reads d_y and x as
// texel buffers.
#include "shaders/common.glsl"
#include "shaders/texel.glsl"
#include "shaders/layernorm_backward_columns.h"

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 d_y_texels;
layout(binding = 2) uniform TEXELS4 x_texels;
#define LOAD_D_Y(i) FETCH4(d_y_texels, i)
#define LOAD_X(i) FETCH4(x_texels, i)
#else
layout(std430, binding = 1) readonly buffer OutputGradient { STORED4 d_y_data[]; };
layout(std430, binding = 2) readonly buffer Input { STORED4 x_data[]; };
#define LOAD_D_Y(i) UNPACK4(d_y_data[i])
#define LOAD_X(i) UNPACK4(x_data[i])
#endif
layout(std430, binding = 3) readonly buffer Mean { float mean_data[]; };
layout(std430, binding = 4) readonly buffer Rstd { float rstd_data[]; };
layout(std430, binding = 5) writeonly buffer Partials { vec4 partials[]; };
layout(constant_id = 1) const uint FOR_CPU = 0;
layout(constant_id = 2) const uint COLUMNS4 = 1;  // H / 4
layout(constant_id = 3) const uint BLOCK_ROWS = 32;
const bool EVEN = COLUMNS4 % LOCAL_SIZE == 0;
layout(push_constant) uniform Push { LayerNormBackwardColumnsPush p; };

vec4 d_gamma = vec4(0), d_beta = vec4(0);

// Rows from the last on are left out by a choice of values: branches cost CPU drivers more.
void add_four(uint row, uint rows, uint column) {
    vec4 d_y[4], n[4];
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const bool inside = row + i < rows;
        const uint mine = min(row + i, max(rows, 1) - 1);
        d_y[i] = mix(vec4(0), LOAD_D_Y(mine * p.d_y_pitch4 + column), bvec4(inside));
        n[i] = mix(vec4(0), (LOAD_X(mine * p.x_pitch4 + column) - mean_data[mine]) * rstd_data[mine], bvec4(inside));
    }
    d_gamma += (d_y[0] * n[0] + d_y[1] * n[1]) + (d_y[2] * n[2] + d_y[3] * n[3]);
    d_beta += (d_y[0] + d_y[1]) + (d_y[2] + d_y[3]);
}

void main() {
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint first = gl_WorkGroupID.y * BLOCK_ROWS, rows = extent(p.rows, p.rows_symbol);
    if (!EVEN && column >= COLUMNS4) return;
    // CPU drivers load twice as fast where no loop is; GPUs would want registers for all the loads.
    if (FOR_CPU != 0u && BLOCK_ROWS <= 32u) {
        [[unroll]] for (uint i = 0; i < BLOCK_ROWS; i += 4) add_four(first + i, rows, column);
    } else {
        [[dont_unroll]] for (uint i = 0; i < BLOCK_ROWS; i += 4) add_four(first + i, rows, column);
    }
    const uint target = gl_WorkGroupID.y * 2 * p.part4 + column;
    partials[target] = d_gamma;
    partials[target + p.part4] = d_beta;
}
