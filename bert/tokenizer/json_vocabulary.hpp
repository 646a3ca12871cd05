// tokenizer.json parsed with the vocabulary kept out of the JSON tree, where 30,000 nodes would take most of
// the time.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace vkbert {

struct TokenizerJson {
    struct Token {
        size_t offset;  // of its text in `texts`
        size_t bytes;
        int32_t id;
    };
    nlohmann::json root;  // all but the members of model.vocab
    std::string texts;
    std::vector<Token> vocabulary;  // in the order of the file

    std::string_view text(const Token& token) const { return {texts.data() + token.offset, token.bytes}; }
};

/// Parses the contents of a tokenizer.json. Throws Error(invalid_input) naming `name` for malformed JSON and
/// for ids that are not numbers in range.
TokenizerJson parse_tokenizer_json(std::string_view contents, std::string_view name);

}  // namespace vkbert
