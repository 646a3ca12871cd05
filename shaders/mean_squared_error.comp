#version 450
#extension GL_GOOGLE_include_directive : require
// loss = (prediction - target)^2, d = 2 (prediction - target) * weight * loss scale. One invocation a row.
#include "shaders/common.glsl"
#include "shaders/mean_squared_error.h"
#include "shaders/training_scalars.h"

layout(std430, binding = 1) readonly buffer Predictions { float predictions[]; };
layout(std430, binding = 2) readonly buffer Targets { float targets[]; };
layout(std430, binding = 3) readonly buffer Scalars { TrainingScalars scalars; };
layout(std430, binding = 4) writeonly buffer Loss { float loss[]; };
layout(std430, binding = 5) writeonly buffer PredictionGradient { float d_predictions[]; };
layout(push_constant) uniform Push { MeanSquaredErrorPush p; };

void main() {
    const uint row = gl_GlobalInvocationID.x;
    if (row >= extent(p.rows, p.rows_symbol)) return;
    const float error = predictions[row * p.predictions_pitch] - targets[row];
    loss[row] = error * error;
    d_predictions[row * p.d_predictions_pitch] = 2 * error * scalars.loss_weight[p.loss_index] * scalars.loss_scale;
}
