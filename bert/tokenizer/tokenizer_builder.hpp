// From what the files of a model say to a Tokenizer. Internal to bert/tokenizer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bert/tokenizer/sequence_encoder.hpp"
#include "bert/tokenizer/tokenizer.hpp"
#include "runtime/error.hpp"

namespace vkbert {

/// One element of a post-processor's template.
struct TemplatePiece {
    enum Kind { special, first, second } kind;
    int32_t id = -1;  // of a special token
    int32_t type_id = 0;
};

/// What encode() puts around a text and around a pair.
struct PostTemplate {
    std::vector<TemplatePiece> single, pair;
};

struct Tokenizer::Parts {
    SequenceModel model;
    PostTemplate post;
    std::vector<bool> special;  // (vocabulary_size) tokens that decode() can leave out
    int32_t sep_id, cls_id;
    std::optional<int32_t> pad_id, mask_id;
    std::optional<size_t> model_max_length;
    bool clean_up_decoded;
};

/// Everything that defines a tokenizer, as read from files; `name` is the file that messages point to.
struct TokenizerBuilder {
    explicit TokenizerBuilder(std::string file) : name(std::move(file)) {}

    /// An added token and, where a file says it, its id.
    struct Added {
        AddedToken token;
        std::optional<int32_t> id;
    };

    /// The named special tokens of the options that the vocabulary has, then options.added_tokens.
    void add_option_tokens();
    /// Replaces an added token of the same content or appends.
    void add(AddedToken token, std::optional<int32_t> id);
    /// Throws Error(invalid_input) naming the file and the fault.
    Tokenizer build();

    std::string name;
    std::optional<Vocabulary> vocabulary;
    TokenizerOptions options;
    std::vector<Added> added;
    std::optional<PostTemplate> post;  // [CLS] A [SEP] B [SEP] if not set
    bool no_post = false;              // the file says that nothing is added

  private:
    int32_t required(const std::string& token, const char* role) const;
    void assign_ids();
    int32_t word_id(const std::string& word) const;
};

/// Runs `work`; an Error that does not begin with `name` already gets it in front.
template <typename Work>
auto naming(std::string_view name, Work&& work) {
    try {
        return work();
    } catch (const Error& error) {
        if (std::string_view(error.what()).starts_with(name)) throw;
        fail(error.code(), "{}: {}", name, error.what());
    }
}

/// Reads the lines of a vocab.txt. Throws Error(invalid_input) naming `name` and the line.
Vocabulary read_vocabulary(std::string_view contents, std::string_view name, const std::string& prefix);

/// Reads a tokenizer.json into builder.vocabulary, options, added and post. Throws Error(invalid_input).
void read_tokenizer_json(std::string_view contents, TokenizerBuilder& builder);

/// Applies tokenizer_config.json, special_tokens_map.json and added_tokens.json of a folder where present.
/// `from_json`: a tokenizer.json was read before.
void read_tokenizer_config(const std::filesystem::path& folder, bool from_json, TokenizerBuilder& builder);

}  // namespace vkbert
