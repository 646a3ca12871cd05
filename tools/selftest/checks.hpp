// What `vkbert selftest` checks: each op of each type against its reference in double precision.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/kernels.hpp"
#include "tools/selftest/op_run.hpp"

namespace vkbert::tools {

struct Check {
    std::string_view op, type;  // "gather_rows", "fp16 to fp32"
    bool needs_fp16;
    std::span<const Kernel> kernels;
    /// Runs the op on numbers from `seed` and returns the largest error as a part of what rounding explains;
    /// above 1, or NaN, is a mismatch.
    std::function<double(OpRun&, uint64_t seed)> run;
};

std::vector<Check> all_checks();

}  // namespace vkbert::tools
