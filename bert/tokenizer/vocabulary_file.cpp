// vocab.txt, and the factory functions.
#include <algorithm>

#include "bert/tokenizer/tokenizer_builder.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {
namespace {

constexpr size_t largest_file = size_t{256} << 20;

/// Without the white space at its end, which the reference cuts off every line.
std::string_view trim_end(std::string_view line) {
    while (!line.empty()) {
        const char* last = utf8::previous(line.data() + line.size());
        const size_t kept = static_cast<size_t>(last - line.data());
        if (!is_white_space(utf8::decode(last))) break;
        line = line.substr(0, kept);
    }
    return line;
}

}  // namespace

Vocabulary read_vocabulary(std::string_view contents, std::string_view name, const std::string& prefix) {
    if (const auto invalid = utf8::find_invalid(contents)) {
        const auto line =
            std::count(contents.begin(), contents.begin() + static_cast<ptrdiff_t>(*invalid), '\n') + 1;
        fail(ErrorCode::invalid_input, "{}: line {} is not valid UTF-8 (byte {} of the file)", name, line,
             *invalid);
    }
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (contents.starts_with(byte_order_mark)) contents.remove_prefix(byte_order_mark.size());
    if (contents.empty()) fail(ErrorCode::invalid_input, "{}: the vocabulary is empty", name);
    const size_t lines = static_cast<size_t>(std::count(contents.begin(), contents.end(), '\n')) + 1;
    Vocabulary vocabulary(prefix, lines, contents.size());
    int32_t id = 0;
    for (size_t begin = 0; begin < contents.size(); ++id) {
        const size_t end = std::min(contents.find('\n', begin), contents.size());
        vocabulary.add(trim_end(contents.substr(begin, end - begin)), id);
        begin = end + 1;
    }
    return vocabulary;
}

Tokenizer Tokenizer::from_vocabulary(std::string_view contents, const TokenizerOptions& options,
                                     std::string_view name) {
    return naming(name, [&] {
        TokenizerBuilder builder{std::string(name)};
        builder.options = options;
        builder.vocabulary = read_vocabulary(contents, name, options.continuing_subword_prefix);
        builder.add_option_tokens();
        return builder.build();
    });
}

Tokenizer Tokenizer::from_vocabulary_file(const std::filesystem::path& file,
                                          const TokenizerOptions& options) {
    return from_vocabulary(read_text_file(file, largest_file), options, file.string());
}

Tokenizer Tokenizer::from_json(std::string_view contents, std::string_view name) {
    return naming(name, [&] {
        TokenizerBuilder builder{std::string(name)};
        read_tokenizer_json(contents, builder);
        return builder.build();
    });
}

Tokenizer Tokenizer::from_folder(const std::filesystem::path& folder, bool lower_case) {
    const std::filesystem::path json = folder / "tokenizer.json", text = folder / "vocab.txt";
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) {
        fail(ErrorCode::invalid_input, "{}: no such folder", folder.string());
    }
    const bool from_json = std::filesystem::exists(json, error);
    if (!from_json && !std::filesystem::exists(text, error)) {
        fail(ErrorCode::invalid_input, "{}: neither tokenizer.json nor vocab.txt in the folder",
             folder.string());
    }
    TokenizerBuilder builder{(from_json ? json : text).string()};
    const auto read_vocabularies = [&] {
        const std::string contents = read_text_file(builder.name, largest_file);
        if (from_json) {
            read_tokenizer_json(contents, builder);
        } else {
            builder.vocabulary =
                read_vocabulary(contents, builder.name, builder.options.continuing_subword_prefix);
        }
    };
    naming(builder.name, read_vocabularies);
    read_tokenizer_config(folder, from_json, builder);
    if (lower_case) {
        // Before or after the other steps is the same for every code point.
        builder.options.strip_accents = builder.options.strip_accents.value_or(builder.options.lowercase);
        builder.options.lowercase = true;
    }
    return naming(builder.name, [&] {
        builder.add_option_tokens();
        return builder.build();
    });
}

}  // namespace vkbert
