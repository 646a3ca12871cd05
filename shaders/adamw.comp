#version 450
#extension GL_GOOGLE_include_directive : require
// g = gradient * gradient_factor;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
// w -= lr * (m / correction1 / (sqrt(v / correction2) + epsilon) + weight_decay * w);  gradient = 0.
// With both corrections 1 this is the paper's BertAdam. After an overflow only the gradient is zeroed.
#include "shaders/common.glsl"
#include "shaders/adamw.h"
#include "shaders/touch.glsl"
#include "shaders/training_scalars.h"

layout(constant_id = 1) const uint STEPS = 1;  // of four elements, by each invocation
layout(constant_id = 2) const uint HALVES = 0;  // keep an fp16 copy of the weights?

layout(std430, binding = 1) readonly buffer Scalars { TrainingScalars s; };
layout(std430, binding = 2) buffer Weights { FLOAT4 weights[]; };
layout(std430, binding = 3) buffer Gradient { FLOAT4 gradient[]; };
layout(std430, binding = 4) buffer FirstMoment { FLOAT4 first_moment[]; };
layout(std430, binding = 5) buffer SecondMoment { FLOAT4 second_moment[]; };
layout(std430, binding = 6) writeonly buffer Halves { HALF4 halves[]; };
layout(push_constant) uniform Push { AdamWPush p; };

void main() {
    const float gradient_factor = s.gradient_factor;
    const float beta1 = s.beta1, beta2 = s.beta2;
    const float one_minus_beta1 = s.one_minus_beta1, one_minus_beta2 = s.one_minus_beta2;
    const float epsilon = s.epsilon, correction2 = s.correction2;
    const float learning_rate = s.learning_rate * p.learning_rate_factor;
    const float step_size = learning_rate / s.correction1;
    const float decay = learning_rate * s.weight_decay * p.decay_factor;
    const bool update = s.overflow == 0u;
    const uint first = gl_WorkGroupID.x * LOCAL_SIZE * STEPS;
    for (uint step = 0; step < STEPS; step++) {
        const uint base = first + step * LOCAL_SIZE, count = min(LOCAL_SIZE, max(p.elements4, base) - base);
        TOUCH(gradient, base, count)
        TOUCH(first_moment, base, count)
        TOUCH(second_moment, base, count)
        TOUCH(weights, base, count)
        const uint i = base + gl_LocalInvocationID.x;
        if (i >= p.elements4) break;
        if (update) {
            const vec4 g = UNPACK_FLOAT4(gradient[i]) * gradient_factor;
            const vec4 m = beta1 * UNPACK_FLOAT4(first_moment[i]) + one_minus_beta1 * g;
            const vec4 v = beta2 * UNPACK_FLOAT4(second_moment[i]) + one_minus_beta2 * g * g;
            vec4 w = UNPACK_FLOAT4(weights[i]);
            w -= decay * w + step_size * m / (sqrt(v / correction2) + epsilon);
            first_moment[i] = PACK_FLOAT4(m);
            second_moment[i] = PACK_FLOAT4(v);
            weights[i] = PACK_FLOAT4(w);
            if (HALVES != 0u) halves[i] = PACK_HALF4(w);
        }
        gradient[after_touching(i)] = PACK_FLOAT4(vec4(0));
    }
}
