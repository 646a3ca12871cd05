// Lists that the tests of attention share.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/ops.hpp"

namespace vkbert::test {

/// Boundaries of packed sequences.
inline std::vector<uint32_t> offsets_of(const std::vector<uint32_t>& lengths) {
    std::vector<uint32_t> offsets{0};
    for (const uint32_t length : lengths) offsets.push_back(offsets.back() + length);
    return offsets;
}

/// The rows of a tile list's tensor.
inline std::vector<uint32_t> words_of(const std::vector<ops::AttentionTile>& tiles) {
    std::vector<uint32_t> words;
    for (const ops::AttentionTile& tile : tiles)
        words.insert(words.end(), {tile.row, tile.rows, tile.first, tile.length});
    return words;
}

}  // namespace vkbert::test
