// Look-ups in the generated tables, for the paths where a binary search is fast enough.
#include <algorithm>

#include "bert/tokenizer/unicode_tables.hpp"

namespace vkbert::unicode {
namespace {

/// The range that holds code_point, or nullptr.
template <typename Range>
const Range* find(std::span<const Range> ranges, uint32_t code_point) {
    const auto at = std::lower_bound(ranges.begin(), ranges.end(), code_point,
                                     [](const Range& range, uint32_t value) { return range.last < value; });
    return at != ranges.end() && at->first <= code_point ? &*at : nullptr;
}

constexpr uint32_t capital_i_with_dot = 0x130;

}  // namespace

bool contains(std::span<const CodePointRange> ranges, uint32_t code_point) {
    return find(ranges, code_point) != nullptr;
}

int lower(uint32_t code_point, uint32_t out[2]) {
    out[0] = code_point;
    if (code_point == capital_i_with_dot) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    const LowerCaseRun* run = find(lower_case, code_point);
    if (run != nullptr && (code_point - run->first) % run->stride == 0) {
        out[0] = static_cast<uint32_t>(static_cast<int32_t>(code_point) + run->delta);
    }
    return 1;
}

uint32_t combining_class(uint32_t code_point) {
    const CombiningClassRun* run = find(combining_classes, code_point);
    return run == nullptr ? 0 : run->combining_class;
}

int decompose(uint32_t code_point, uint32_t out[4]) {
    out[0] = code_point;
    if (code_point >= hangul_first && code_point <= hangul_last) return decompose_hangul(code_point, out);
    // The entries are of different lengths, so the search may land inside one: headers alone exceed 0xFFFFFF.
    size_t low = 0, high = decompositions.size();
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        while (decompositions[middle] >> 24 == 0) --middle;
        const uint32_t header = decompositions[middle];
        const uint32_t length = header >> 24, found = header & 0xFFFFFF;
        if (found == code_point) {
            std::copy_n(decompositions.begin() + middle + 1, length, out);
            return static_cast<int>(length);
        }
        if (found < code_point) {
            low = middle + length + 1;
        } else {
            high = middle;
        }
    }
    return 1;
}

}  // namespace vkbert::unicode
