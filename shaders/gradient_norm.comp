#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// partials[first_partial + b] = sum of the squares of block b of a gradient divided by the loss scale; the bits of
// infinity when an element is not finite, told by its exponent, because drivers may assume NaN and infinity away.
// -DTEXEL reads the gradient as a texel buffer, -DWIDE whole vectors of it.
#include "shaders/common.glsl"
#include "shaders/blocks.glsl"
#include "shaders/reduce.glsl"
#include "shaders/gradient_norm.h"
#include "shaders/training_scalars.h"

#ifdef TEXEL
layout(binding = 1) uniform samplerBuffer gradient_texels;
#define LOAD_BITS(first) floatBitsToUint(LOAD_FLOATS(gradient, first))
#elif defined(WIDE)
#define LOAD_BITS(first) load_block_bits(gradient_address, first)
#else
layout(std430, binding = 1) readonly buffer Gradient { uvec4 gradient_data[]; };  // bits of fp32
#define LOAD_BITS(first) gradient_data[IN_BLOCK(first)]
#endif
layout(std430, binding = 2) readonly buffer Scalars { TrainingScalars scalars; };
layout(std430, binding = 3) writeonly buffer Partials { uint partials[]; };  // bits of fp32
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t gradient_address;
#endif
    GradientNormPush p;
};

const uint EXPONENT = 0x7f800000u;
#ifdef WIDE
const uint AT_A_TIME = 16;
#else
const uint AT_A_TIME = 4;
#endif

vec4 squares = vec4(0);
uvec4 exponents = uvec4(0);  // the largest

void add(uvec4 bits) {
    const vec4 g = uintBitsToFloat(bits);
    squares += g * g;
    exponents = max(exponents, bits & uvec4(EXPONENT));
}

void add_blocks(uint first) {
    uvec4 bits[AT_A_TIME];
    [[unroll]] for (uint j = 0; j < AT_A_TIME; j++) bits[j] = LOAD_BITS(first + j * LOCAL_SIZE);
    [[unroll]] for (uint j = 0; j < AT_A_TIME; j++) add(bits[j]);
}

void main() {
    uint first = gl_WorkGroupID.x * p.block4;
    const uint end = min(first + p.block4, p.elements4);
    for (; first + AT_A_TIME * LOCAL_SIZE <= end; first += AT_A_TIME * LOCAL_SIZE) add_blocks(first);
#ifdef WIDE
    for (; first < end; first += LOCAL_SIZE) add(LOAD_BITS(first));
#else
    for (; first + gl_LocalInvocationID.x < end; first += LOCAL_SIZE) add(LOAD_BITS(first));
#endif
    // Scaled here and not element by element, a ninth of the time on SwiftShader. A sum that overflows before is an overflow, too.
    const float scale = 1.0 / scalars.loss_scale;
    const float sum = workgroup_add((squares.x + squares.y) + (squares.z + squares.w)) * scale * scale;
    const uint exponent = workgroup_max(max(max(exponents.x, exponents.y), max(exponents.z, exponents.w)));
    if (gl_LocalInvocationID.x == 0u)
        partials[p.first_partial + gl_WorkGroupID.x] = exponent == EXPONENT ? EXPONENT : floatBitsToUint(sum);
}
