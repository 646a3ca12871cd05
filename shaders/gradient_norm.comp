#version 450
#extension GL_GOOGLE_include_directive : require
// partials[first_partial + b] = sum of the squares of block b of a gradient divided by the loss scale; the bits of
// infinity when an element is not finite, told by its exponent, because drivers may assume NaN and infinity away.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/gradient_norm.h"
#include "shaders/training_scalars.h"

layout(std430, binding = 1) readonly buffer Gradient { uvec4 gradient[]; };  // bits of fp32
layout(std430, binding = 2) readonly buffer Scalars { TrainingScalars scalars; };
layout(std430, binding = 3) writeonly buffer Partials { uint partials[]; };  // bits of fp32
layout(push_constant) uniform Push { GradientNormPush p; };

const uint EXPONENT = 0x7f800000u;

void main() {
    const float scale = 1.0 / scalars.loss_scale;
    const uint first = gl_WorkGroupID.x * p.block4;
    const uint end = min(first + p.block4, p.elements4);
    float squares = 0;
    bool finite = true;
    for (uint i = first + gl_LocalInvocationID.x; i < end; i += LOCAL_SIZE) {
        const uvec4 bits = gradient[i];
        finite = finite && all(notEqual(bits & uvec4(EXPONENT), uvec4(EXPONENT)));
        const vec4 g = uintBitsToFloat(bits) * scale;
        squares += dot(g, g);
    }
    squares = workgroup_add(squares);
    const uint overflow = workgroup_max(finite ? 0u : 1u);
    if (gl_LocalInvocationID.x == 0u)
        partials[p.first_partial + gl_WorkGroupID.x] = overflow != 0u ? EXPONENT : floatBitsToUint(squares);
}
