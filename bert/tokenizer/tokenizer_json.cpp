// tokenizer.json, and the small JSON files beside it.
#include <nlohmann/json.hpp>

#include <charconv>
#include <limits>
#include <type_traits>

#include "bert/tokenizer/json_vocabulary.hpp"
#include "bert/tokenizer/tokenizer_builder.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {
namespace {

using Json = nlohmann::json;

Json parse(std::string_view contents, std::string_view name) {
    try {
        return Json::parse(contents);
    } catch (const Json::exception& error) {
        fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", name, error.what());
    }
}

/// The member `key` of an object or null.
const Json& member(const Json& object, const char* key) {
    static const Json none;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() ? *found : none;
}

/// A member with a type: nothing if it is missing or null, Error if it is of another type.
template <typename T>
std::optional<T> value(const Json& object, const char* key, std::string_view name) {
    const Json& found = member(object, key);
    if (found.is_null()) return std::nullopt;
    constexpr bool text = std::is_same_v<T, std::string>, flag = std::is_same_v<T, bool>;
    if (text ? !found.is_string() : flag ? !found.is_boolean() : !found.is_number_integer()) {
        fail(ErrorCode::invalid_input, "{}: \"{}\" is not a {}", name, key,
             text   ? "string"
             : flag ? "boolean"
                    : "whole number");
    }
    return found.get<T>();
}

int32_t checked_id(const Json& id, std::string_view what, std::string_view name) {
    if (!id.is_number_unsigned() ||
        id.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
        fail(ErrorCode::invalid_input, "{}: the id of {} is not a number in range", name, what);
    }
    return static_cast<int32_t>(id.get<uint64_t>());
}

std::string type_of(const Json& part) {
    const Json& type = member(part, "type");
    return type.is_string() ? type.get<std::string>() : part.is_null() ? "null" : "unknown";
}

AddedToken added_token(const Json& entry, std::string_view name) {
    AddedToken token;
    const auto content = value<std::string>(entry, "content", name);
    if (!content) fail(ErrorCode::invalid_input, "{}: an added token has no content", name);
    token.content = *content;
    token.special = value<bool>(entry, "special", name).value_or(false);
    token.single_word = value<bool>(entry, "single_word", name).value_or(false);
    token.lstrip = value<bool>(entry, "lstrip", name).value_or(false);
    token.rstrip = value<bool>(entry, "rstrip", name).value_or(false);
    token.normalized = value<bool>(entry, "normalized", name).value_or(!token.special);
    return token;
}

void read_normalizer(const Json& part, TokenizerBuilder& builder) {
    TokenizerOptions& options = builder.options;
    if (part.is_null()) {
        options.clean_text = options.handle_chinese_chars = options.lowercase = false;
        return;
    }
    if (type_of(part) != "BertNormalizer") {
        fail(ErrorCode::invalid_input, "{}: normalizer {} is not supported, only BertNormalizer",
             builder.name, type_of(part));
    }
    options.clean_text = value<bool>(part, "clean_text", builder.name).value_or(true);
    options.handle_chinese_chars = value<bool>(part, "handle_chinese_chars", builder.name).value_or(true);
    options.strip_accents = value<bool>(part, "strip_accents", builder.name);
    options.lowercase = value<bool>(part, "lowercase", builder.name).value_or(true);
}

void read_vocabulary(const TokenizerJson& json, TokenizerBuilder& builder) {
    Vocabulary& vocabulary = builder.vocabulary.emplace(builder.options.continuing_subword_prefix,
                                                        json.vocabulary.size(), json.texts.size());
    for (const TokenizerJson::Token& token : json.vocabulary) {
        if (const auto other = vocabulary.token(token.id)) {
            fail(ErrorCode::invalid_input, "{}: the tokens \"{}\" and \"{}\" both have the id {}",
                 builder.name, utf8::printable(*other), utf8::printable(json.text(token)), token.id);
        }
        vocabulary.add(json.text(token), token.id);
    }
}

void read_model(const TokenizerJson& json, TokenizerBuilder& builder) {
    const std::string& name = builder.name;
    const Json& model = member(json.root, "model");
    // Old files leave the type out; a WordPiece model has no merges.
    const bool untyped =
        member(model, "type").is_null() && member(model, "vocab").is_object() && !model.contains("merges");
    if (!untyped && type_of(model) != "WordPiece") {
        fail(ErrorCode::invalid_input, "{}: model {} is not supported, only WordPiece", name, type_of(model));
    }
    if (json.vocabulary.empty()) fail(ErrorCode::invalid_input, "{}: the model has no vocabulary", name);
    TokenizerOptions& options = builder.options;
    options.unk_token = value<std::string>(model, "unk_token", name).value_or(options.unk_token);
    options.continuing_subword_prefix = value<std::string>(model, "continuing_subword_prefix", name)
                                            .value_or(options.continuing_subword_prefix);
    const int64_t most = value<int64_t>(model, "max_input_chars_per_word", name).value_or(100);
    if (most < 0) fail(ErrorCode::invalid_input, "{}: max_input_chars_per_word is {}", name, most);
    options.max_input_chars_per_word = static_cast<size_t>(most);
    read_vocabulary(json, builder);
}

/// The ids of a special token of a TemplateProcessing.
std::vector<int32_t> template_ids(const Json& post, const std::string& token,
                                  const TokenizerBuilder& builder) {
    const Json& ids = member(member(member(post, "special_tokens"), token.c_str()), "ids");
    if (!ids.is_array()) {
        fail(ErrorCode::invalid_input, "{}: post_processor has no special token \"{}\"", builder.name, token);
    }
    std::vector<int32_t> result;
    for (const Json& id : ids)
        result.push_back(checked_id(id, "special token \"" + token + "\"", builder.name));
    return result;
}

std::vector<TemplatePiece> read_template(const Json& post, const char* which, TokenizerBuilder& builder) {
    std::vector<TemplatePiece> pieces;
    std::string sequences;
    for (const Json& piece : member(post, which)) {
        const Json &special = member(piece, "SpecialToken"), &sequence = member(piece, "Sequence");
        const Json& body = special.is_null() ? sequence : special;
        const auto id = value<std::string>(body, "id", builder.name);
        if (!id)
            fail(ErrorCode::invalid_input, "{}: post_processor's \"{}\" is malformed", builder.name, which);
        const int32_t type_id =
            member(body, "type_id").is_null() ? 0 : checked_id(member(body, "type_id"), *id, builder.name);
        if (special.is_null()) {
            sequences += *id;
            pieces.push_back({*id == "A" ? TemplatePiece::first : TemplatePiece::second, -1, type_id});
            continue;
        }
        for (const int32_t number : template_ids(post, *id, builder)) {
            pieces.push_back({TemplatePiece::special, number, type_id});
        }
        if (sequences.empty()) builder.options.cls_token = *id;
        if (!sequences.empty()) builder.options.sep_token = *id;
    }
    if (sequences != (std::string_view(which) == "single" ? "A" : "AB")) {
        fail(ErrorCode::invalid_input, "{}: post_processor's \"{}\" does not use its texts once and in order",
             builder.name, which);
    }
    return pieces;
}

void read_post_processor(const Json& post, TokenizerBuilder& builder) {
    const std::string type = type_of(post);
    using Piece = TemplatePiece;
    if (post.is_null()) {
        builder.post = PostTemplate{{{Piece::first, -1, 0}}, {{Piece::first, -1, 0}, {Piece::second, -1, 1}}};
    } else if (type == "TemplateProcessing") {
        builder.post =
            PostTemplate{read_template(post, "single", builder), read_template(post, "pair", builder)};
    } else if (type == "BertProcessing") {
        const auto token = [&](const char* key) {
            const Json& pair = member(post, key);
            if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string()) {
                fail(ErrorCode::invalid_input, "{}: post_processor's \"{}\" is malformed", builder.name, key);
            }
            checked_id(pair[1], key, builder.name);
            return pair[0].get<std::string>();
        };
        builder.options.cls_token = token("cls");
        builder.options.sep_token = token("sep");
    } else {
        fail(ErrorCode::invalid_input,
             "{}: post_processor {} is not supported, only TemplateProcessing and BertProcessing",
             builder.name, type);
    }
}

/// A token that a configuration names: a string, or an object with its flags.
std::optional<AddedToken> named_token(const Json& entry, std::string_view name) {
    if (entry.is_string()) {
        return AddedToken{.content = entry.get<std::string>(), .special = true, .normalized = false};
    }
    if (!entry.is_object()) return std::nullopt;
    AddedToken token = added_token(entry, name);
    if (member(entry, "normalized").is_null()) token.normalized = false;
    token.special = true;
    return token;
}

void read_named_tokens(const Json& json, std::string_view name, TokenizerBuilder& builder) {
    TokenizerOptions& options = builder.options;
    const std::pair<const char*, std::string*> roles[] = {{"unk_token", &options.unk_token},
                                                          {"sep_token", &options.sep_token},
                                                          {"pad_token", &options.pad_token},
                                                          {"cls_token", &options.cls_token},
                                                          {"mask_token", &options.mask_token}};
    for (const auto& [key, text] : roles) {
        const auto token = named_token(member(json, key), name);
        if (!token) continue;
        *text = token->content;
    }
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
        const Json& list = member(json, key);
        if (!list.is_array()) continue;
        for (const Json& entry : list) {
            if (auto token = named_token(entry, name)) builder.add(std::move(*token), std::nullopt);
        }
    }
}

void read_config_file(const Json& json, const std::string& name, bool from_json, TokenizerBuilder& builder) {
    TokenizerOptions& options = builder.options;
    // The generic class takes tokenizer.json as it is; BERT's own lets these settings change the normalizer.
    const auto type = value<std::string>(json, "tokenizer_class", name).value_or("");
    if (!from_json || (type != "PreTrainedTokenizerFast" && type != "TokenizersBackend")) {
        options.lowercase = value<bool>(json, "do_lower_case", name).value_or(options.lowercase);
        if (json.contains("strip_accents")) options.strip_accents = value<bool>(json, "strip_accents", name);
        options.handle_chinese_chars =
            value<bool>(json, "tokenize_chinese_chars", name).value_or(options.handle_chinese_chars);
    }
    const Json& most = member(json, "model_max_length");
    // transformers writes 1e30 for "no limit".
    if (most.is_number() && most.get<double>() >= 1 && most.get<double>() < 1e9) {
        options.model_max_length = most.get<size_t>();
    }
    const Json& decoder = member(json, "added_tokens_decoder");
    if (!decoder.is_object()) return;
    for (const auto& [key, entry] : decoder.items()) {
        int32_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size() || id < 0) {
            fail(ErrorCode::invalid_input, "{}: \"{}\" in added_tokens_decoder is not an id", name, key);
        }
        builder.add(added_token(entry, name), id);
    }
}

}  // namespace

void read_tokenizer_json(std::string_view contents, TokenizerBuilder& builder) {
    const std::string& name = builder.name;
    const TokenizerJson parsed = parse_tokenizer_json(contents, name);
    const Json& json = parsed.root;
    if (!json.is_object() || !json.contains("model")) {
        fail(ErrorCode::invalid_input, "{}: not a tokenizer (no \"model\")", name);
    }
    read_normalizer(member(json, "normalizer"), builder);
    const Json& pre_tokenizer = member(json, "pre_tokenizer");
    if (type_of(pre_tokenizer) != "BertPreTokenizer") {
        fail(ErrorCode::invalid_input, "{}: pre_tokenizer {} is not supported, only BertPreTokenizer", name,
             type_of(pre_tokenizer));
    }
    read_model(parsed, builder);
    read_post_processor(member(json, "post_processor"), builder);
    builder.options.clean_up_decoded = value<bool>(member(json, "decoder"), "cleanup", name).value_or(true);
    for (const Json& entry : member(json, "added_tokens")) {
        builder.add(added_token(entry, name), checked_id(member(entry, "id"), "an added token", name));
    }
}

void read_tokenizer_config(const std::filesystem::path& folder, bool from_json, TokenizerBuilder& builder) {
    constexpr size_t largest = size_t{16} << 20;
    std::error_code error;
    const auto read = [&](const char* file) -> std::pair<Json, std::string> {
        const std::filesystem::path path = folder / file;
        if (!std::filesystem::exists(path, error)) return {Json::object(), path.string()};
        Json json = parse(read_text_file(path, largest), path.string());
        if (!json.is_object()) fail(ErrorCode::invalid_input, "{}: not a JSON object", path.string());
        return {std::move(json), path.string()};
    };
    const auto [config, config_name] = read("tokenizer_config.json");
    read_config_file(config, config_name, from_json, builder);
    read_named_tokens(config, config_name, builder);
    if (!config.contains("added_tokens_decoder")) {  // files of before 2023
        const auto [map, map_name] = read("special_tokens_map.json");
        read_named_tokens(map, map_name, builder);
        const auto [added, added_name] = read("added_tokens.json");
        for (const auto& [text, id] : added.items()) {
            if (from_json) break;
            builder.add({.content = text, .normalized = true},
                        checked_id(id, "\"" + text + "\"", added_name));
        }
    }
}

}  // namespace vkbert
