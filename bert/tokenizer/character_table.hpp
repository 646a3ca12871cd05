// BertNormalizer and BertPreTokenizer, worked out in advance for every code point.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vkbert {

/// The four switches of Hugging Face's BertNormalizer, strip_accents already resolved.
struct NormalizerOptions {
    bool clean_text = true;
    bool handle_chinese_chars = true;
    bool strip_accents = true;
    bool lowercase = true;
};

/// How a character of normalized text takes part in splitting.
enum class CharacterKind : uint8_t { letter, space, isolated };

/// White space as the reference's char::is_whitespace has it.
bool is_white_space(uint32_t code_point);
/// \w of the reference's regular expressions.
bool is_word_character(uint32_t code_point);
/// Kind of a character of normalized text: punctuation is isolated.
CharacterKind normalized_kind(uint32_t code_point);

/// A 16-bit value for every code point, 0 unless set: two levels of 256, equal blocks shared.
class CodePointMap {
  public:
    CodePointMap();

    uint16_t operator[](uint32_t code_point) const {
        return entries_[static_cast<size_t>(index_[code_point >> 8]) << 8 | (code_point & 0xFF)];
    }
    void set(uint32_t code_point, uint16_t value);
    /// Ors `bits` into first..last.
    void add(uint32_t first, uint32_t last, uint16_t bits);
    /// Replaces every value by function(value).
    template <typename Function>
    void transform(Function&& function) {
        for (uint16_t& entry : entries_) entry = function(entry);
    }

  private:
    uint16_t* writable(uint32_t block);

    std::vector<uint16_t> index_;    // (0x1100) block of each 256 code points
    std::vector<uint16_t> entries_;  // (blocks, 256)
    std::vector<bool> shared_;       // (blocks) more than one index entry may name it
};

/// Per code point, what the normalizer and the pre-tokenizer make of it. Made in well under a millisecond.
class CharacterTable {
  public:
    enum Action : uint16_t {
        keep,     // a letter, itself
        drop,     // nothing
        space,    // ends a word
        isolate,  // a word of its own, itself
        reorder,  // takes part in canonical reordering and stays: the context decides (see normalize_exactly)
        hangul,   // a syllable to be decomposed into jamo
        replaced,  // this and above: replacement(action)
    };

    /// One character of what replaces another.
    struct Output {
        uint32_t code_point;
        std::array<char, 4> bytes;
        uint8_t length;
        CharacterKind kind;
    };

    explicit CharacterTable(const NormalizerOptions& options);

    const NormalizerOptions& options() const { return options_; }
    uint16_t action(uint32_t code_point) const { return actions_[code_point]; }
    /// What replaces a character whose action is `replaced` or above; spaces around it are part of it.
    std::span<const Output> replacement(uint16_t action) const {
        const Replacement& r = replacements_[action - replaced];
        return {outputs_.data() + r.first, r.count};
    }

  private:
    struct Replacement {
        uint32_t first;
        uint32_t count;
    };

    uint16_t simple_action(uint16_t properties) const;
    uint16_t resolve(uint32_t code_point, std::span<const uint32_t> decomposed,
                     const CodePointMap& properties);
    void append(uint32_t code_point, CharacterKind kind);

    NormalizerOptions options_;
    CodePointMap actions_;
    std::vector<Replacement> replacements_;
    std::vector<Output> outputs_;
};

}  // namespace vkbert
