#version 450
#extension GL_GOOGLE_include_directive : require
// loss = logsumexp(logits) - logits[label], d_logits = (softmax(logits) - [label]) * weight * loss scale over the classes
// of each row of logits(R,C) or, with -DSEGMENTS, over the tokens of each sequence of each column of logits(T,C). A label
// that is none of the classes, such as 0xffffffff, is left out: loss and gradient are 0. One workgroup a softmax; may work
// in place.
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/cross_entropy.h"
#include "shaders/training_scalars.h"

layout(std430, binding = 1) readonly buffer Logits { float logits[]; };
layout(std430, binding = 2) readonly buffer Labels { uint labels[]; };
layout(std430, binding = 3) readonly buffer Scalars { TrainingScalars scalars; };
layout(std430, binding = 4) writeonly buffer Loss { float loss[]; };
layout(std430, binding = 5) writeonly buffer LogitGradient { float d_logits[]; };
#ifdef SEGMENTS
layout(std430, binding = 6) readonly buffer Offsets { uint offsets[]; };
#endif
layout(push_constant) uniform Push { CrossEntropyPush p; };

const float LOWEST = -3.0e38;  // below every logit that can come out of a model, and finite

void main() {
#ifdef SEGMENTS
    const uint first = offsets[gl_WorkGroupID.x];
    const uint classes = offsets[gl_WorkGroupID.x + 1] - first;
    const uint logit = first * p.logits_pitch + gl_WorkGroupID.y, d_logit = first * p.d_logits_pitch + gl_WorkGroupID.y;
    const uint step = p.logits_pitch, d_step = p.d_logits_pitch;
#else
    const uint classes = p.columns;
    const uint logit = gl_WorkGroupID.x * p.logits_pitch, d_logit = gl_WorkGroupID.x * p.d_logits_pitch;
    const uint step = 1, d_step = 1;
#endif
    const uint lane = gl_LocalInvocationID.x;
    // Largest and sum of exp(x - largest) in one pass: Milakov & Gimelshein 2018, algorithm 3.
    float largest = LOWEST, sum = 0;
    for (uint c = lane; c < classes; c += LOCAL_SIZE) {
        const float x = logits[logit + c * step];
        const float above = x - largest;
        const float ratio = exp(-abs(above));
        sum = above > 0 ? sum * ratio + 1 : sum + ratio;
        largest = max(largest, x);
    }
    const float mine = largest;
    largest = workgroup_max(largest);
    sum = workgroup_add(sum * exp(mine - largest));

    const uint label = labels[gl_WorkGroupID.x * p.labels_pitch + gl_WorkGroupID.y];
    const uint target = gl_WorkGroupID.x * p.loss_pitch + gl_WorkGroupID.y;
    const bool counted = label < classes;
    const float factor = counted ? scalars.loss_weight[p.loss_index] * scalars.loss_scale : 0.0;
    const float scale = 1.0 / sum;
    for (uint c = lane; c < classes; c += LOCAL_SIZE) {
        const float x = logits[logit + c * step] - largest;
        if (c == label) loss[target] = log(sum) - x;
        d_logits[d_logit + c * d_step] = counted ? (exp(x) * scale - (c == label ? 1.0 : 0.0)) * factor : 0.0;
    }
    if (!counted && lane == 0u) loss[target] = 0.0;
}
