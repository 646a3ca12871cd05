#include "tools/selftest/reference_random.hpp"

#include <algorithm>
#include <cmath>

namespace vkbert::test::reference {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key,
                                   uint32_t rounds) {
    for (uint32_t i = 0; i < rounds; i++) {
        const uint64_t first = 0xD2511F53ull * counter[0], second = 0xCD9E8D57ull * counter[2];
        counter = {uint32_t(second >> 32) ^ counter[1] ^ key[0], uint32_t(second),
                   uint32_t(first >> 32) ^ counter[3] ^ key[1], uint32_t(first)};
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    return counter;
}

double DropoutMask::block_factor(uint32_t row, uint32_t block, uint32_t byte) const {
    const double kept = std::clamp(std::round(256 * (1 - double(probability))), 1.0, 256.0);
    const std::array<uint32_t, 4> words = philox4x32({block, row, site, state[2]}, {state[0], state[1]}, 7);
    const uint32_t drawn = (words[byte / 4] >> (8 * (byte % 4))) & 255;
    return drawn < kept ? 256 / kept : 0;
}

double DropoutMask::factor(uint32_t row, uint32_t column) const {
    return block_factor(row, column / 16, column % 16);
}

double DropoutMask::attention_factor(uint32_t row, uint32_t head, uint32_t key) const {
    return block_factor(row, head << 16 | key / 16, key % 16);
}

Matrix dropout(const Matrix& input, const DropoutMask& mask) {
    Matrix result = input;
    for (uint32_t row = 0; row < input.rows; row++)
        for (uint32_t column = 0; column < input.columns; column++)
            result(row, column) *= mask.factor(row, column);
    return result;
}

}  // namespace vkbert::test::reference
