// Normalized text with its alignment, for the inputs that cannot be normalized word by word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bert/tokenizer/character_table.hpp"

namespace vkbert {

struct NormalizedText {
    std::string bytes;
    std::vector<uint32_t>
        sources;  ///< (bytes) index of the code point of the original that each byte comes from
};

/// What Hugging Face's BertNormalizer makes of `text` (valid UTF-8): bytes and alignment.
void normalize(std::string_view text, const CharacterTable& table, NormalizedText& out);

/// The same, step by step as the reference does it instead of from the table. Only canonical reordering of
/// marks that strip_accents leaves in place makes a difference: it moves them past other marks, and their
/// alignment stays behind.
void normalize_exactly(std::string_view text, const NormalizerOptions& options, NormalizedText& out);

}  // namespace vkbert
