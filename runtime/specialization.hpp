// Specialization done here and not by the driver.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkbert {

/// The module `code` with specialization constants 0, 1, ... set to `constants` and every constant that
/// follows from them folded (SPIR-V specification, 2.12): no specialization constants of our kernels are
/// left. Others keep their defaults. For drivers that would unroll loops, and keep arrays in registers, but
/// do not fold such constants before (Capabilities::folds_constants). Instructions are trusted to have their
/// operands; from where a length cannot be right on, the code stays as it is.
std::vector<uint32_t> specialize(std::span<const uint32_t> code, std::span<const uint32_t> constants);

}  // namespace vkbert
