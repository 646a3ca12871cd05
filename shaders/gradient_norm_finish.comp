#version 450
#extension GL_GOOGLE_include_directive : require
// From the partial sums of gradient_norm.comp: the norm, the factor that clips and unscales this step's gradient, the
// bias corrections of this step, and the loss scale of the next. One workgroup.
//   clip: torch.nn.utils.clip_grad_norm_; loss scale: torch.amp.GradScaler with its factors of 2 and 1/2.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/gradient_norm.h"
#include "shaders/training_scalars.h"

layout(std430, binding = 1) readonly buffer Partials { uint partials[]; };
layout(std430, binding = 2) buffer Scalars { TrainingScalars s; };
layout(push_constant) uniform Push { GradientNormFinishPush p; };

const uint EXPONENT = 0x7f800000u;

void keep_scale_for_next_step(bool overflow) {
    if (overflow) {
        s.good_steps = 0u;
        if (s.growth_interval != 0u) s.loss_scale *= 0.5;
        return;
    }
    const uint good_steps = s.good_steps + 1u;
    const bool grow = s.growth_interval != 0u && good_steps == s.growth_interval;
    if (grow && s.loss_scale < 1.0e38) s.loss_scale *= 2.0;
    s.good_steps = grow ? 0u : good_steps;
}

void main() {
    float squares = 0;
    bool finite = true;
    for (uint i = gl_LocalInvocationID.x; i < p.partials; i += LOCAL_SIZE) {
        finite = finite && (partials[i] & EXPONENT) != EXPONENT;
        squares += uintBitsToFloat(partials[i]);
    }
    squares = workgroup_add(squares);
    const bool all_finite = workgroup_max(finite ? 0u : 1u) == 0u;
    if (gl_LocalInvocationID.x != 0u) return;
    const bool overflow = !all_finite || (floatBitsToUint(squares) & EXPONENT) == EXPONENT;
    const float norm = sqrt(overflow ? 0.0 : squares);
    const float clip = s.max_gradient_norm > 0 ? min(1.0, s.max_gradient_norm / (norm + 1e-6)) : 1.0;
    s.overflow = overflow ? 1u : 0u;
    s.gradient_norm = overflow ? uintBitsToFloat(EXPONENT) : norm;
    s.gradient_factor = clip / s.loss_scale;
    if (overflow) {
        s.skipped_steps++;
    } else {
        s.applied_steps++;
        // 1 - beta^n without powers: what exponential averages of ones are.
        s.unit1 = s.beta1 * s.unit1 + s.one_minus_beta1;
        s.unit2 = s.beta2 * s.unit2 + s.one_minus_beta2;
        s.correction1 = s.bias_correction != 0u ? s.unit1 : 1.0;
        s.correction2 = s.bias_correction != 0u ? s.unit2 : 1.0;
    }
    keep_scale_for_next_step(overflow);
}
