// Random bits as a pure function of counters: any element of a stream without those before it.
#pragma once

#include <cstdint>

namespace vkbert {

/// Steele et al. 2014 (SplitMix64): a bijection of 64 bits whose outputs of consecutive inputs look
/// independent.
constexpr uint64_t mix_bits(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/// A stream of random 64-bit words, told apart by two numbers.
class RandomStream {
  public:
    constexpr RandomStream(uint64_t seed, uint64_t stream) : base_(mix_bits(seed ^ mix_bits(stream + 1))) {}
    constexpr uint64_t operator()(uint64_t index) const {
        return mix_bits(base_ + index * 0x9e3779b97f4a7c15ull);
    }
    /// Uniform in [0, bound), bound < 2^32: the high half of a product with 32 bits.
    constexpr uint32_t below(uint64_t index, uint32_t bound) const {
        return uint32_t(((*this)(index) >> 32) * bound >> 32);
    }

  private:
    uint64_t base_;
};

}  // namespace vkbert
