// What the ops that drop share.
#pragma once

#include <string>

#include "runtime/ops.hpp"

namespace vkbert::ops {

/// Dropout's q, of 256 (256: nothing is dropped and the state is not read), after checking the options.
/// Throws invalid_argument naming the label.
uint32_t dropout_kept(const Dropout& dropout, const std::string& label);

}  // namespace vkbert::ops
