// The vocabulary and greedy longest-match-first WordPiece over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vkbert {

/// Token texts and ids. Of equal texts the last one added is found, as in Hugging Face's loader.
class Vocabulary {
  public:
    /// `prefix` marks tokens that continue a word; `expected` sizes the table.
    Vocabulary(std::string prefix, size_t expected, size_t expected_bytes);

    /// Adds a token. Ids may come in any order; throws Error(invalid_input) if they are so sparse that a
    /// table by id would be absurd. `text` must be valid UTF-8.
    void add(std::string_view text, int32_t id);
    /// Adds a token that id() and token() know but find() does not: words are not split into it.
    void add_whole(std::string_view text, int32_t id);

    /// Highest id + 1: how many rows an embedding needs.
    size_t size() const { return by_id_.size(); }
    std::optional<int32_t> id(std::string_view text) const;
    std::optional<std::string_view> token(int32_t id) const;
    const std::string& prefix() const { return prefix_; }

    /// Bytes that must be readable behind any word given to find() and to match_word().
    static constexpr size_t padding = 8;

    /// Polynomial hash of a word, extended byte by byte: hash = extend(hash, byte), beginning with 0.
    static uint64_t extend(uint64_t hash, unsigned char byte) { return hash * multiplier + byte; }
    static constexpr uint64_t multiplier = 0x9E3779B97F4A7C15;

    /// Id of the token that is `word` (`continuing`: prefix + word), or -1. `hash` is that of the bytes;
    /// `padding` bytes behind the word must be readable.
    int32_t find(const char* word, size_t bytes, uint64_t hash, bool continuing) const {
        const uint32_t key = static_cast<uint32_t>(bytes) | (continuing ? continuing_bit : 0);
        const uint64_t head = load_head(word, bytes);
        for (size_t at = place(hash, continuing);; at = (at + 1) & mask_) {
            const Slot& slot = slots_[at];
            if (slot.key == key && slot.head == head && (bytes <= 8 || tail_equals(slot, word, bytes))) {
                return slot.id;
            }
            if (slot.key == 0) return -1;
        }
    }
    /// Longest token, in bytes, that can begin a word or (prefix not counted) continue one.
    size_t longest(bool continuing) const { return longest_[continuing]; }

  private:
    struct Slot {
        uint64_t head = 0;  // first 8 bytes, zeros behind a shorter text
        int32_t id = -1;
        uint32_t key = 0;  // bytes of the text without prefix, and continuing_bit; 0: free
    };
    struct Text {
        uint32_t offset = 0;
        uint32_t bytes = absent;
    };
    static constexpr uint32_t continuing_bit = 0x80000000, absent = 0xFFFFFFFF;

    static uint64_t load_head(const char* word, size_t bytes) {
        uint64_t head;
        std::memcpy(&head, word, 8);
        return bytes >= 8 ? head : head & ((uint64_t{1} << (bytes * 8)) - 1);
    }
    size_t place(uint64_t hash, bool continuing) const {
        return (hash ^ (continuing ? 0x5851F42D4C957F2D : 0)) * 0xD6E8FEB86659FD93 >> shift_;
    }
    bool tail_equals(const Slot& slot, const char* word, size_t bytes) const;
    std::string_view store(std::string_view text, int32_t id);
    void insert(std::string_view text, int32_t id, bool continuing);
    void grow();
    void place_slot(const Slot& slot, uint64_t hash);

    std::string prefix_;
    std::string pool_;         // all texts, `padding` zeros behind each
    std::vector<Text> by_id_;  // (size())
    std::map<std::string, int32_t, std::less<>> whole_;
    std::vector<Slot> slots_;  // open addressing, a power of two
    size_t used_ = 0;
    size_t mask_ = 0;
    int shift_ = 0;
    size_t added_ = 0;
    size_t longest_[2] = {0, 0};
};

/// A piece of a word: bytes [begin, end) of it.
struct WordPiece {
    int32_t id;
    uint32_t begin;
    uint32_t end;
};

/// Splits a word that is not a token itself into the longest tokens from left to right. `word` has `bytes` >
/// 0 bytes and Vocabulary::padding readable ones behind. Appends to `pieces` (cleared first); leaves it empty
/// if no split exists. `hashes` is scratch.
void split_word(const Vocabulary& vocabulary, const char* word, size_t bytes, std::vector<WordPiece>& pieces,
                std::vector<uint64_t>& hashes);

}  // namespace vkbert
