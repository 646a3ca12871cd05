// A batch of packed sequences: no padding anywhere. Cost is proportional to real tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkbert {

/// S sequences of T tokens in all, one after the other.
struct Batch {
    std::vector<uint32_t> ids;         // (T) word pieces
    std::vector<uint32_t> types;       // (T) segments
    std::vector<uint32_t> positions;   // (T) 0, 1, ... within each sequence
    std::vector<uint32_t> offsets{0};  // (S+1) sequence s is tokens offsets[s] .. offsets[s+1]
    std::vector<uint32_t> rows;        // (R) packed rows that a head reads: masked positions

    uint32_t tokens() const { return uint32_t(ids.size()); }
    uint32_t sequences() const { return uint32_t(offsets.size() - 1); }

    /// Appends one sequence of word pieces and segments (empty: all 0).
    template <typename Id>
    void add(std::span<const Id> sequence_ids, std::span<const Id> sequence_types = {}) {
        for (size_t i = 0; i < sequence_ids.size(); ++i) {
            ids.push_back(uint32_t(sequence_ids[i]));
            types.push_back(sequence_types.empty() ? 0 : uint32_t(sequence_types[i]));
            positions.push_back(uint32_t(i));
        }
        offsets.push_back(uint32_t(ids.size()));
    }
    template <typename Id>
    void add(const std::vector<Id>& sequence_ids, const std::vector<Id>& sequence_types = {}) {
        add(std::span<const Id>(sequence_ids), std::span<const Id>(sequence_types));
    }
    void clear() {
        ids.clear(), types.clear(), positions.clear(), rows.clear();
        offsets.assign(1, 0);
    }
};

}  // namespace vkbert
