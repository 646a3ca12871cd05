#include "bert/schedule.hpp"

#include <cmath>

#include "runtime/error.hpp"

namespace vkbert {

double LearningRate::at(uint64_t step) const {
    if (step < warmup_steps) return peak * double(step) / double(warmup_steps);
    if (schedule == Schedule::constant) return peak;
    if (step >= total_steps) return 0;
    const uint64_t decay_steps = schedule == Schedule::bert ? total_steps : total_steps - warmup_steps;
    return peak * double(total_steps - step) / double(decay_steps);
}

uint64_t warmup_steps(double warmup, uint64_t total_steps, Schedule schedule) {
    if (!(warmup >= 0 && warmup < 0x1p53))
        fail(ErrorCode::invalid_argument, "warm-up of {}: it is a share of all steps, or a number of steps",
             warmup);
    if (warmup >= 1) return uint64_t(warmup);
    const double steps = warmup * double(total_steps);
    return uint64_t(schedule == Schedule::bert ? std::floor(steps) : std::ceil(steps));
}

}  // namespace vkbert
