// How a sentence-transformers model makes one vector of a text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "runtime/ops.hpp"

namespace vkbert {

struct SentencePooling {
    ops::Pooling pooling = ops::Pooling::mean;
    bool normalize = false;              // to length 1
    std::optional<uint32_t> max_length;  // tokens, special ones included
};

/// From modules.json, the pooling module's config.json and sentence_bert_config.json of a model folder. A
/// folder without modules.json has the defaults. Errors: invalid_input for malformed files; unsupported for
/// other modules or poolings.
SentencePooling read_sentence_pooling(const std::filesystem::path& folder);

/// max_seq_length of sentence_bert_config.json alone, where there is one. Errors: invalid_input.
std::optional<uint32_t> read_sentence_max_length(const std::filesystem::path& folder);

}  // namespace vkbert
