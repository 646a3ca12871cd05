#version 450
#extension GL_GOOGLE_include_directive : require
// d_x(T,F) = d_y f'(x). One invocation four elements, which are read before they are written: in place is fine. -DTEXEL reads x
// and d_y as texel buffers.
#include "shaders/common.glsl"
#include "shaders/activation.glsl"
#include "shaders/activation_backward.h"
#include "shaders/texel.glsl"

layout(constant_id = 1) const uint ACTIVATION = 0;

#ifdef TEXEL
layout(binding = 1) uniform TEXELS4 x_texels;
layout(binding = 2) uniform TEXELS4 d_y_texels;
#define LOAD_X(i) FETCH4(x_texels, i)
#define LOAD_D_Y(i) FETCH4(d_y_texels, i)
#else
layout(std430, binding = 1) readonly buffer Input { STORED4 x_data[]; };
layout(std430, binding = 2) readonly buffer OutputGradient { STORED4 d_y_data[]; };
#define LOAD_X(i) UNPACK4(x_data[i])
#define LOAD_D_Y(i) UNPACK4(d_y_data[i])
#endif
layout(std430, binding = 3) writeonly buffer InputGradient { STORED4 d_x_data[]; };
layout(push_constant) uniform Push { ActivationBackwardPush p; };

void main() {
    const uint row = gl_WorkGroupID.y;
    const uint column = gl_WorkGroupID.x * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (row >= extent(p.rows, p.rows_symbol) || column >= p.columns4) return;
    const vec4 x = LOAD_X(row * p.x_pitch4 + column);
    const vec4 d_x = LOAD_D_Y(row * p.d_y_pitch4 + column) * activation_slope(x, ACTIVATION);
    d_x_data[row * p.d_x_pitch4 + column] = PACK4(d_x);
}
