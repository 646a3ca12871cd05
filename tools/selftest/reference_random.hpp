// The random numbers of shaders/random.glsl once more, on the host: the same bits.
#pragma once

#include <array>
#include <cstdint>

#include "tools/selftest/reference.hpp"

namespace vkbert::test::reference {

/// Philox4x32 with any number of rounds (Salmon et al. 2011).
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key,
                                   uint32_t rounds);

/// The mask of one ops::Dropout in one run.
struct DropoutMask {
    float probability = 0;
    uint32_t site = 0;
    std::array<uint32_t, 4> state{};  // what the tensor ops::Dropout::state holds: key low, key high, step, 0

    /// What the element is multiplied by: 0 or 256/q. Row of the packed tokens.
    double factor(uint32_t row, uint32_t column) const;
    /// The same for an attention probability; key counted within its sequence.
    double attention_factor(uint32_t row, uint32_t head, uint32_t key) const;

  private:
    double block_factor(uint32_t row, uint32_t block, uint32_t byte) const;
};

/// mask * 256/q * input.
Matrix dropout(const Matrix& input, const DropoutMask& mask);

}  // namespace vkbert::test::reference
