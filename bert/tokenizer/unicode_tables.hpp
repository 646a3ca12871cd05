// Unicode properties as Hugging Face's tokenizers sees them; see tools/unicode/generate_tokenizer_tables.py
// for why they are pinned instead of asked of a library.
#pragma once

#include <cstdint>
#include <span>

namespace vkbert::unicode {

/// Code points first..last, both included.
struct CodePointRange {
    uint32_t first, last;
};

/// Lower case of first, first+stride, ..., last is the code point + delta. U+0130 becomes U+0069 U+0307.
struct LowerCaseRun {
    uint32_t first, last;
    uint32_t stride;
    int32_t delta;
};

/// Canonical combining class (never 0) of first..last.
struct CombiningClassRun {
    uint32_t first, last;
    uint32_t combining_class;
};

extern const std::span<const CodePointRange> removed_by_clean_text;
extern const std::span<const CodePointRange> white_space;
extern const std::span<const CodePointRange> punctuation;
extern const std::span<const CodePointRange> chinese;
extern const std::span<const CodePointRange> nonspacing_marks;
extern const std::span<const CodePointRange> word_characters;  ///< \w
extern const std::span<const LowerCaseRun> lower_case;
extern const std::span<const CombiningClassRun> combining_classes;

/// Full canonical decompositions except Hangul's: (length << 24 | code point), then length code points;
/// ascending.
extern const std::span<const uint32_t> decompositions;

/// Whether sorted ranges hold the code point.
bool contains(std::span<const CodePointRange> ranges, uint32_t code_point);

/// Full lower case: 1 or 2 code points written to `out`; returns how many.
int lower(uint32_t code_point, uint32_t out[2]);

/// Canonical combining class, 0 for all but marks.
uint32_t combining_class(uint32_t code_point);

constexpr uint32_t hangul_first = 0xAC00, hangul_last = 0xD7A3;

/// Decomposes a Hangul syllable into 2 or 3 jamo; returns how many (Unicode standard, 3.12).
inline int decompose_hangul(uint32_t syllable, uint32_t out[3]) {
    const uint32_t index = syllable - hangul_first;
    out[0] = 0x1100 + index / 588;
    out[1] = 0x1161 + index % 588 / 28;
    out[2] = 0x11A7 + index % 28;
    return index % 28 == 0 ? 2 : 3;
}

/// Full canonical decomposition written to `out`; returns how many code points (1 if it is its own
/// decomposition).
int decompose(uint32_t code_point, uint32_t out[4]);

}  // namespace vkbert::unicode
