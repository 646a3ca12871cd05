// The variant table of each op, for all_kernels().
#pragma once

#include <span>

#include "runtime/ops.hpp"

namespace vkbert::ops {

/// For operands of one type, best first.
std::span<const Kernel> matmul_kernels(Type type);

}  // namespace vkbert::ops
