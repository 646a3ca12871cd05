// Encodes texts from standard input, for tokenizer_parity.py, which compares every line with the reference.
//
//   tokenizer_stream FOLDER|vocab.txt [cased] [no-chinese] [strip|no-strip] [no-special] [full] [windows]
//                    [max=N] [stride=N] [truncation=longest_first|only_first|only_second|none]
//                    [added=TOKEN:FLAGS]
//
// A record is two little-endian uint32 lengths, of the text and of its pair (0xFFFFFFFF: none), then both
// texts. Each window becomes a line: ids and offsets as Python prints them; with `full` type_ids,
// special_tokens_mask, word_ids and sequence_ids too. An empty line follows each record. FLAGS are letters:
// s(pecial), w (single_word), l(strip), r(strip), n(ormalized).
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "bert/tokenizer/tokenizer.hpp"
#include "runtime/error.hpp"

namespace {

struct Settings {
    vkbert::TokenizerOptions tokenizer;
    vkbert::EncodeOptions encode;
    bool windows = false;
    bool full = false;
};

vkbert::AddedToken added_token(const std::string& text) {
    const size_t colon = text.rfind(':');
    const std::string flags = text.substr(colon + 1);
    const auto has = [&](char flag) { return flags.find(flag) != std::string::npos; };
    return {text.substr(0, colon), has('s'), has('w'), has('l'), has('r'), has('n')};
}

void set(const std::string& word, Settings& settings) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals),
                      value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (key == "cased") settings.tokenizer.lowercase = false;
    if (key == "no-chinese") settings.tokenizer.handle_chinese_chars = false;
    if (key == "strip") settings.tokenizer.strip_accents = true;
    if (key == "no-strip") settings.tokenizer.strip_accents = false;
    if (key == "added") settings.tokenizer.added_tokens.push_back(added_token(value));
    if (key == "no-special") settings.encode.add_special_tokens = false;
    if (key == "full") settings.full = true;
    if (key == "windows") settings.windows = true;
    if (key == "max") settings.encode.max_length = std::stoul(value);
    if (key == "stride") settings.encode.stride = std::stoul(value);
    using vkbert::Truncation;
    if (value == "only_first") settings.encode.truncation = Truncation::only_first;
    if (value == "only_second") settings.encode.truncation = Truncation::only_second;
    if (value == "none") settings.encode.truncation = Truncation::none;
}

template <typename T>
void print(std::string& line, const std::vector<T>& values) {
    line += '[';
    for (const T& value : values) {
        if (line.back() != '[') line += ", ";
        if constexpr (std::is_same_v<T, vkbert::TextRange>) {
            line += '(' + std::to_string(value.begin) + ", " + std::to_string(value.end) + ')';
        } else {
            line += static_cast<int64_t>(value) < 0 ? "None" : std::to_string(value);
        }
    }
    line += ']';
}

void print(std::string& line, const vkbert::Encoding& encoding, bool full) {
    print(line, encoding.ids);
    print(line, encoding.offsets);
    if (full) {
        print(line, encoding.type_ids);
        print(line, encoding.special_tokens_mask);
        print(line, encoding.word_ids);
        print(line, encoding.sequence_ids);
    }
    line += '\n';
}

bool read_text(std::string& text, uint32_t bytes) {
    text.resize(bytes);
    return std::fread(text.data(), 1, bytes, stdin) == bytes;
}

int run(const std::string& source, const Settings& settings) {
    const auto tokenizer = std::filesystem::is_directory(source)
                               ? vkbert::Tokenizer::from_folder(source)
                               : vkbert::Tokenizer::from_vocabulary_file(source, settings.tokenizer);
    constexpr uint32_t no_pair = 0xFFFFFFFF;
    uint32_t lengths[2];
    std::string text, pair, line;
    vkbert::Encoding encoding;
    while (std::fread(lengths, sizeof lengths, 1, stdin) == 1) {
        if (!read_text(text, lengths[0]) || (lengths[1] != no_pair && !read_text(pair, lengths[1]))) return 2;
        const auto second = lengths[1] == no_pair ? std::nullopt : std::optional<std::string_view>(pair);
        line.clear();
        try {
            if (settings.windows) {
                for (const auto& window : tokenizer.encode_windows(text, second, settings.encode)) {
                    print(line, window, settings.full);
                }
            } else {
                tokenizer.encode(text, second, settings.encode, encoding);
                print(line, encoding, settings.full);
            }
        } catch (const vkbert::Error& error) {
            line = std::string("error: ") + error.what() + '\n';
        }
        line += '\n';
        std::fwrite(line.data(), 1, line.size(), stdout);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Settings settings;
    for (int i = 2; i < argc; ++i) set(argv[i], settings);
    try {
        return argc < 2 ? 2 : run(argv[1], settings);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
