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
/// Those of the ops that only training needs, parts of all_checks(): through a layer; and LayerNorm,
/// embeddings, losses and the optimizer.
void add_gradient_checks(std::vector<Check>& checks);
void add_training_checks(std::vector<Check>& checks);

/// A check for fp32 and one for fp16.
void add_for_types(std::vector<Check>& checks, std::string_view op, std::span<const Kernel> (*kernels)(Type),
                   double (*check)(OpRun&, uint64_t seed, Type));

/// Largest |actual - expected| / tolerance(row, column); NaN when anything is NaN that should not be.
double worst(const test::Matrix& actual, const test::Matrix& expected,
             const std::function<double(uint32_t, uint32_t)>& tolerance);

/// Whether what the op multiplies in between was rounded to fp16: attention's weights on matrix cores.
bool rounds_operands(OpRun& run);

}  // namespace vkbert::tools
