// The files that sentence-transformers adds to a model folder: modules.json, 1_Pooling/config.json,
// sentence_bert_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "runtime/ops.hpp"

namespace vkbert {

/// How a sentence embedding is made of the last hidden state.
struct SentenceTransformer {
    std::filesystem::path model;        // the folder with config.json and weights
    std::vector<ops::Pooling> pooling;  // more than one: concatenated in this order
    bool normalize = false;             // to length 1, after pooling
    uint32_t dimension = 0;             // of the hidden state that is pooled; 0: not said
    std::optional<uint32_t>
        max_seq_length;          // tokens, special ones included; absent: the tokenizer's and the model's
    bool do_lower_case = false;  // texts are lower-cased, though the tokenizer's files say no such thing
};

/// Nothing for a folder without modules.json. Errors: invalid_input for malformed files; unsupported for
/// modules other than Transformer, Pooling and Normalize and for pooling modes other than cls, max and mean.
std::optional<SentenceTransformer> read_sentence_transformer(const std::filesystem::path& folder);

}  // namespace vkbert
