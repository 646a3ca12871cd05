#include "bert/tokenizer/tokenizer_builder.hpp"

#include <algorithm>

#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

void TokenizerBuilder::add(AddedToken token, std::optional<int32_t> id) {
    if (token.content.empty()) return;
    const auto same = std::find_if(added.begin(), added.end(),
                                   [&](const Added& other) { return other.token.content == token.content; });
    if (same == added.end()) {
        added.push_back({std::move(token), id});
    } else {
        same->token = std::move(token);
    }
}

void TokenizerBuilder::add_option_tokens() {
    for (const std::string* name_of : {&options.pad_token, &options.unk_token, &options.cls_token,
                                       &options.sep_token, &options.mask_token}) {
        const bool known = std::any_of(added.begin(), added.end(),
                                       [&](const Added& other) { return other.token.content == *name_of; });
        if (!known && vocabulary->id(*name_of))
            add({.content = *name_of, .special = true, .normalized = false}, {});
    }
    for (const AddedToken& token : options.added_tokens) add(token, {});
}

int32_t TokenizerBuilder::required(const std::string& token, const char* role) const {
    const std::optional<int32_t> id = vocabulary->id(token);
    if (!id)
        fail(ErrorCode::invalid_input, "{}: no {} token \"{}\" in the vocabulary", name, role,
             utf8::printable(token));
    return *id;
}

void TokenizerBuilder::assign_ids() {
    for (Added& entry : added) {
        const std::optional<int32_t> known = vocabulary->id(entry.token.content);
        const int32_t next = static_cast<int32_t>(vocabulary->size());
        if (!known && entry.id && vocabulary->token(*entry.id)) {
            fail(ErrorCode::invalid_input, "{}: added token \"{}\" has the id {} of the token \"{}\"", name,
                 utf8::printable(entry.token.content), *entry.id,
                 utf8::printable(*vocabulary->token(*entry.id)));
        }
        if (!known) vocabulary->add_whole(entry.token.content, entry.id.value_or(next));
        entry.id = known ? *known : entry.id.value_or(next);
    }
}

int32_t TokenizerBuilder::word_id(const std::string& word) const {
    const std::optional<int32_t> id = vocabulary->id(word);
    if (!id)
        fail(ErrorCode::invalid_argument, "never_split word \"{}\" is not in the vocabulary of {}", word,
             name);
    return *id;
}

Tokenizer TokenizerBuilder::build() {
    const NormalizerOptions normalizer{options.clean_text, options.handle_chinese_chars,
                                       options.strip_accents.value_or(options.lowercase), options.lowercase};
    const int32_t unk = required(options.unk_token, "unknown");
    assign_ids();
    const int32_t sep = required(options.sep_token, "separator"), cls = required(options.cls_token, "class");
    if (!post) {
        using Piece = TemplatePiece;
        post.emplace();
        post->single = {{Piece::special, cls, 0}, {Piece::first, -1, 0}, {Piece::special, sep, 0}};
        post->pair = post->single;
        post->pair.push_back({Piece::second, -1, 1});
        post->pair.push_back({Piece::special, sep, 1});
    }
    for (const auto* pieces : {&post->single, &post->pair}) {
        for (const TemplatePiece& piece : *pieces) {
            if (piece.kind != TemplatePiece::special || vocabulary->token(piece.id)) continue;
            fail(ErrorCode::invalid_input,
                 "{}: special token {} of the post_processor is not in the vocabulary", name, piece.id);
        }
    }
    std::vector<bool> special(vocabulary->size());
    std::vector<AddedTokenMatcher::Entry> raw, normalized;
    NormalizedText text;
    for (const Added& entry : added) {
        const AddedToken& token = entry.token;
        if (token.special) special[static_cast<size_t>(*entry.id)] = true;
        if (token.normalized) normalize_exactly(token.content, normalizer, text);
        (token.normalized ? normalized : raw)
            .push_back({token.normalized ? text.bytes : token.content, *entry.id, token.single_word,
                        token.lstrip, token.rstrip, false});
    }
    for (const std::string& word : options.never_split)
        raw.push_back({word, word_id(word), false, false, false, true});
    const std::optional<int32_t> pad = vocabulary->id(options.pad_token),
                                 mask = vocabulary->id(options.mask_token);
    return Tokenizer(std::unique_ptr<const Tokenizer::Parts>(new Tokenizer::Parts{
        SequenceModel(std::move(*vocabulary), normalizer, unk, options.max_input_chars_per_word,
                      std::move(raw), std::move(normalized)),
        std::move(*post), std::move(special), sep, cls, pad, mask, options.model_max_length,
        options.clean_up_decoded}));
}

}  // namespace vkbert
