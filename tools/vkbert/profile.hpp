// --profile: where the time went, on standard error.
#pragma once

#include "bert/trainer.hpp"
#include "runtime/profiler.hpp"
#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

/// The table of dispatches with percents of what the device does at best, which is measured now. Says why
/// when there is none; does not throw.
void print_profile(const GlobalOptions& options, Device& device, const Profile& profile);

/// Adds a trainer's last step: of its passes the last, and its optimizer.
void add_step(Profile& profile, Trainer& trainer);

}  // namespace vkbert::tools
