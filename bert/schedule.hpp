// The learning rate of each step: linear warm-up, then linear decay in both published forms, or constant.
#pragma once

#include <cstdint>

namespace vkbert {

enum class Schedule : uint8_t {
    /// transformers' get_linear_schedule_with_warmup: falls from the peak at the end of warm-up to 0 at the
    /// last step.
    linear,
    /// google-research/bert's optimization.py: peak (1 - step / total) from the first step on, replaced by
    /// the
    /// rising line during warm-up; at its end the rate jumps down from just below the peak.
    bert,
    /// The peak after warm-up (transformers' get_constant_schedule_with_warmup).
    constant,
};

struct LearningRate {
    double peak = 2e-5;
    uint64_t warmup_steps = 0;
    uint64_t total_steps = 0;
    Schedule schedule = Schedule::linear;

    /// Of the update that follows `step` updates: the first update of all is step 0, and has rate 0 when
    /// there is warm-up. After the last step: 0 (constant: the peak).
    double at(uint64_t step) const;
};

/// Steps of warm-up: of a number below 1 that share of all steps, rounded up (Schedule::bert: down), as their
/// sources do; of 1 and above, that many. Throws invalid_argument for negative numbers and NaN.
uint64_t warmup_steps(double warmup, uint64_t total_steps, Schedule schedule = Schedule::linear);

}  // namespace vkbert
