#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// g = gradient * gradient_factor;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
// w -= lr * (m / correction1 / (sqrt(v / correction2) + epsilon) + weight_decay * w);  gradient = 0.
// With both corrections 1 this is the paper's BertAdam. After an overflow only the gradient is zeroed. -DWIDE reads whole vectors.
#include "shaders/common.glsl"
#include "shaders/blocks.glsl"
#include "shaders/adamw.h"
#include "shaders/training_scalars.h"

layout(constant_id = 1) const uint STEPS = 1;  // of four elements, by each invocation
layout(constant_id = 2) const uint HALVES = 0;  // keep an fp16 copy of the weights?

layout(std430, binding = 1) readonly buffer Scalars { TrainingScalars s; };
#ifndef WIDE
layout(std430, binding = 2) buffer Weights { vec4 weights_data[]; };
layout(std430, binding = 3) buffer Gradient { vec4 gradient_data[]; };
layout(std430, binding = 4) buffer FirstMoment { vec4 first_moment_data[]; };
layout(std430, binding = 5) buffer SecondMoment { vec4 second_moment_data[]; };
layout(std430, binding = 6) writeonly buffer Halves { uvec2 halves_data[]; };
#endif
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t weights_address, gradient_address, first_moment_address, second_moment_address, halves_address;
#endif
    AdamWPush p;
};

#ifdef WIDE
const uint AT_ONCE = 16 / LOCAL_SIZE;  // blocks in a turn of the loop
bool inside(uint block) { return block + LOCAL_SIZE <= p.elements4; }
#else
const uint AT_ONCE = 1;
bool inside(uint block) { return IN_BLOCK(block) < p.elements4; }
#endif

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
    for (uint step = 0; step < STEPS; step += AT_ONCE) {
        [[unroll]] for (uint i = 0; i < AT_ONCE; i++) {
            const uint block = first + (step + i) * LOCAL_SIZE;
            if (!inside(block)) break;
            if (update) {
                const vec4 g = LOAD_FLOATS(gradient, block) * gradient_factor;
                const vec4 m = beta1 * LOAD_FLOATS(first_moment, block) + one_minus_beta1 * g;
                const vec4 v = beta2 * LOAD_FLOATS(second_moment, block) + one_minus_beta2 * g * g;
                vec4 w = LOAD_FLOATS(weights, block);
                w -= decay * w + step_size * m / (sqrt(v / correction2) + epsilon);
                STORE_FLOATS(first_moment, block, m)
                STORE_FLOATS(second_moment, block, v)
                STORE_FLOATS(weights, block, w)
                if (HALVES != 0u) STORE_HALVES(halves, block, w)
            }
            STORE_FLOATS(gradient, block, vec4(0))
        }
    }
}
