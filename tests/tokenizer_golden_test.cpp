// The tokenizer against what Hugging Face's answered: tests/golden/tokenizer.json, made by
// tests/tokenizer_golden.py.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <vector>

#include "bert/tokenizer/tokenizer.hpp"
#include "bert/tokenizer/utf8.hpp"

namespace vkbert {
namespace {

using Json = nlohmann::json;

const Json& golden() {
    static const Json json = [] {
        const char* root = std::getenv("VKBERT_SOURCE_DIR");
        std::ifstream file(std::filesystem::path(root == nullptr ? "." : root) /
                           "tests/golden/tokenizer.json");
        return Json::parse(file);
    }();
    return json;
}

std::string text_of(uint32_t code_point) {
    char bytes[4];
    return {bytes, utf8::encode(code_point, bytes)};
}

/// The generator's vocabulary: special tokens, words, then every character alone and as the continuation of a
/// word.
const std::string& vocabulary() {
    static const std::string text = [] {
        std::string result;
        std::unordered_set<std::string> words;
        for (const char* part : {"special", "words"}) {
            for (const std::string word : golden().at(part)) {
                result += word + '\n';
                words.insert(word);
            }
        }
        for (const Json& range : golden().at("characters")) {
            for (uint32_t c = range[0]; c <= range[1].get<uint32_t>(); ++c) {
                for (const std::string& token : {text_of(c), std::string("##").append(text_of(c))}) {
                    if (!words.contains(token)) result += token + '\n';
                }
            }
        }
        return result;
    }();
    return text;
}

Tokenizer tokenizer_for(const Json& options) {
    TokenizerOptions result;
    result.lowercase = options.value("lowercase", true);
    result.handle_chinese_chars = options.value("handle_chinese_chars", true);
    if (options.contains("strip_accents")) result.strip_accents = options.at("strip_accents").get<bool>();
    return Tokenizer::from_vocabulary(vocabulary(), result);
}

std::vector<int32_t> flat(const std::vector<TextRange>& offsets) {
    std::vector<int32_t> result;
    for (const TextRange& range : offsets) {
        result.push_back(static_cast<int32_t>(range.begin));
        result.push_back(static_cast<int32_t>(range.end));
    }
    return result;
}

uint64_t fnv1a(uint64_t value, const std::vector<int32_t>& numbers) {
    for (const int32_t number : numbers) {
        for (int shift = 0; shift < 32; shift += 8) {
            value = (value ^ (static_cast<uint32_t>(number) >> shift & 0xFF)) * 0x100000001B3;
        }
    }
    return value;
}

TEST(TokenizerGolden, Texts) {
    const std::vector<std::string> texts = golden().at("texts");
    ASSERT_GT(texts.size(), 70u);
    for (const Json& set : golden().at("sets")) {
        const Tokenizer tokenizer = tokenizer_for(set.at("options"));
        for (size_t i = 0; i < texts.size(); ++i) {
            const Encoding encoding = tokenizer.encode(texts[i]);
            EXPECT_EQ(encoding.ids, set.at("answers")[i].at("ids").get<std::vector<int32_t>>()) << texts[i];
            EXPECT_EQ(flat(encoding.offsets), set.at("answers")[i].at("offsets").get<std::vector<int32_t>>())
                << texts[i];
        }
    }
}

TEST(TokenizerGolden, EveryCodePointBetweenLetters) {
    const std::vector<uint32_t> numbers = golden().at("block_numbers");
    Encoding encoding;
    std::string text;
    for (const Json& set : golden().at("sets")) {
        const Tokenizer tokenizer = tokenizer_for(set.at("options"));
        for (size_t i = 0; i < numbers.size(); ++i) {
            uint64_t checksum = 0;
            for (uint32_t c = numbers[i] * 256; c < numbers[i] * 256 + 256; ++c) {
                text.assign(1, 'a').append(text_of(c)).append(1, 'b');
                tokenizer.encode(text, std::nullopt, {}, encoding);
                checksum =
                    checksum * 31 + fnv1a(fnv1a(0xCBF29CE484222325, encoding.ids), flat(encoding.offsets));
            }
            EXPECT_EQ(checksum, std::stoull(set.at("blocks")[i].get<std::string>(), nullptr, 16))
                << "code points from U+" << std::hex << numbers[i] * 256 << ", " << set.at("options");
        }
    }
}

Truncation truncation_of(const std::string& name) {
    return name == "only_first"    ? Truncation::only_first
           : name == "only_second" ? Truncation::only_second
                                   : Truncation::longest_first;
}

TEST(TokenizerGolden, Windows) {
    const Tokenizer tokenizer = tokenizer_for(Json{{"lowercase", true}});
    for (const Json& entry : golden().at("windows")) {
        const std::string text = entry.at("text"),
                          pair = entry.at("pair").is_null() ? "" : entry.at("pair").get<std::string>();
        const auto second = entry.at("pair").is_null() ? std::nullopt : std::optional<std::string_view>(pair);
        const EncodeOptions options{.max_length = entry.at("max_length").get<size_t>(),
                                    .truncation = truncation_of(entry.at("truncation")),
                                    .stride = entry.at("stride")};
        const std::vector<Encoding> windows = tokenizer.encode_windows(text, second, options);
        ASSERT_EQ(windows.size(), entry.at("windows").size()) << entry;
        for (size_t i = 0; i < windows.size(); ++i) {
            const Json& expected = entry.at("windows")[i];
            EXPECT_EQ(Json(windows[i].ids), expected.at("ids"));
            EXPECT_EQ(Json(flat(windows[i].offsets)), expected.at("offsets"));
            EXPECT_EQ(Json(windows[i].type_ids), expected.at("type_ids"));
            EXPECT_EQ(Json(windows[i].special_tokens_mask), expected.at("special"));
            EXPECT_EQ(Json(windows[i].word_ids), expected.at("words"));
            EXPECT_EQ(Json(windows[i].sequence_ids), expected.at("sequences"));
        }
        EXPECT_EQ(tokenizer.encode(text, second, options).ids, windows[0].ids);
    }
}

}  // namespace
}  // namespace vkbert
