#version 450
#extension GL_GOOGLE_include_directive : require
// probabilities(R,C) = softmax of each row of logits(R,C). One workgroup a row of any width; may work in place.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/softmax_forward.h"

layout(std430, binding = 1) readonly buffer Input { float source[]; };
layout(std430, binding = 2) writeonly buffer Output { float target[]; };
layout(push_constant) uniform Push { SoftmaxForwardPush p; };

const float LOWEST = -3.0e38;  // below every logit that can come out of a model, and finite

void main() {
    const uint input_row = gl_WorkGroupID.x * p.input_pitch;
    const uint output_row = gl_WorkGroupID.x * p.output_pitch;
    const uint lane = gl_LocalInvocationID.x;
    float largest = LOWEST;
    for (uint c = lane; c < p.columns; c += LOCAL_SIZE) largest = max(largest, source[input_row + c]);
    largest = workgroup_max(largest);
    float sum = 0;
    for (uint c = lane; c < p.columns; c += LOCAL_SIZE) sum += exp(source[input_row + c] - largest);
    const float scale = 1.0 / workgroup_add(sum);
    for (uint c = lane; c < p.columns; c += LOCAL_SIZE)
        target[output_row + c] = exp(source[input_row + c] - largest) * scale;
}
