// TrainingScalars for C++: what the host writes before an optimizer step and reads after it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shaders/glsl_types.h"

namespace vkbert {

#include "shaders/training_scalars.h"

constexpr uint32_t training_scalars_words = sizeof(TrainingScalars) / 4;
static_assert(offsetof(TrainingScalars, loss_scale) == TRAINING_SCALARS_HOST_WORDS * 4);
static_assert(training_scalars_words == 32);

/// Before the first step: PyTorch's defaults of AdamW but for a learning rate of 0; clipping to 1 as in
/// Devlin et al.'s code; all loss weights 1. A `loss_scale` of 1 is for fp32 and stays; any other, torch's
/// GradScaler begins with 65536, doubles after 2,000 steps without overflow.
TrainingScalars initial_training_scalars(float loss_scale = 1);

/// Sets beta1 and beta2 and what is derived from them.
void set_betas(TrainingScalars& scalars, double beta1, double beta2);

}  // namespace vkbert
