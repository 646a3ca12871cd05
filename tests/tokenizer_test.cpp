// The tokenizer: hand-written cases, facts published for real vocabularies, random bytes.
// tokenizer_golden_test compares with the reference implementation, tokenizer_input_test feeds it bad files.
#include "bert/tokenizer/tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/error.hpp"

namespace vkbert {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Texts = std::vector<std::string>;

constexpr EncodeOptions bare{.add_special_tokens = false};

std::string lines(const Texts& tokens) {
    std::string result;
    for (const std::string& token : tokens) result += token + '\n';
    return result;
}

const Texts small_vocabulary = {"[PAD]",  "[UNK]", "[CLS]",  "[SEP]", "[MASK]", "want",
                                "##want", "##ed",  "wa",     "un",    "runn",   "##ing",
                                ",",      "low",   "lowest", "hello", "world",  "!"};

Tokenizer small(const TokenizerOptions& options = {}) {
    return Tokenizer::from_vocabulary(lines(small_vocabulary), options);
}

Texts tokens(const Tokenizer& tokenizer, const Encoding& encoding) {
    Texts result;
    for (const int32_t id : encoding.ids) result.emplace_back(tokenizer.token(id).value_or("?"));
    return result;
}

Texts split(const Tokenizer& tokenizer, std::string_view text) {
    return tokens(tokenizer, tokenizer.encode(text, std::nullopt, bare));
}

template <typename Work>
std::string message_of(ErrorCode code, Work&& work) {
    try {
        work();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

/// A file of VKBERT_TEST_DATA; skips the test where there is none.
#define DATA_FILE(variable, name)                                                              \
    const char* variable##_folder = std::getenv("VKBERT_TEST_DATA");                           \
    const std::filesystem::path variable =                                                     \
        std::filesystem::path(variable##_folder == nullptr ? "" : variable##_folder) / (name); \
    if (!std::filesystem::exists(variable)) GTEST_SKIP() << "VKBERT_TEST_DATA has no " << (name)

TEST(Tokenizer, SplitsIntoLongestPieces) {
    const Tokenizer tokenizer = small();
    const Encoding encoding = tokenizer.encode("UNwant\u00E9d,running", std::nullopt, bare);
    EXPECT_THAT(tokens(tokenizer, encoding), ElementsAre("un", "##want", "##ed", ",", "runn", "##ing"));
    EXPECT_THAT(encoding.offsets, ElementsAre(TextRange{0, 2}, TextRange{2, 6}, TextRange{6, 8},
                                              TextRange{8, 9}, TextRange{9, 13}, TextRange{13, 16}));
    EXPECT_THAT(encoding.word_ids, ElementsAre(0, 0, 0, 1, 2, 2));
}

TEST(Tokenizer, PutsSpecialTokensAround) {
    const Tokenizer tokenizer = small();
    const Encoding one = tokenizer.encode("hello");
    EXPECT_THAT(one.ids, ElementsAre(2, 15, 3));
    EXPECT_THAT(one.special_tokens_mask, ElementsAre(1, 0, 1));
    EXPECT_THAT(one.sequence_ids, ElementsAre(-1, 0, -1));
    const Encoding two = tokenizer.encode("hello", "world!");
    EXPECT_THAT(two.ids, ElementsAre(2, 15, 3, 16, 17, 3));
    EXPECT_THAT(two.type_ids, ElementsAre(0, 0, 0, 1, 1, 1));
    EXPECT_THAT(two.offsets, ElementsAre(TextRange{0, 0}, TextRange{0, 5}, TextRange{0, 0}, TextRange{0, 5},
                                         TextRange{5, 6}, TextRange{0, 0}));
    EXPECT_THAT(two.word_ids, ElementsAre(-1, 0, -1, 0, 1, -1));
    EXPECT_THAT(two.sequence_ids, ElementsAre(-1, 0, -1, 1, 1, -1));
    EXPECT_EQ(tokenizer.special_token_count(false), 2u);
    EXPECT_EQ(tokenizer.special_token_count(true), 3u);
}

TEST(Tokenizer, KnowsItsVocabulary) {
    const Tokenizer tokenizer = small();
    EXPECT_EQ(tokenizer.vocabulary_size(), small_vocabulary.size());
    EXPECT_EQ(tokenizer.id("##ing"), 11);
    EXPECT_EQ(tokenizer.id("ing"), std::nullopt);
    EXPECT_EQ(tokenizer.token(14), "lowest");
    EXPECT_EQ(tokenizer.token(-1), std::nullopt);
    EXPECT_EQ(tokenizer.token(18), std::nullopt);
    EXPECT_EQ(tokenizer.pad_id(), 0);
    EXPECT_EQ(tokenizer.unk_id(), 1);
    EXPECT_EQ(tokenizer.cls_id(), 2);
    EXPECT_EQ(tokenizer.sep_id(), 3);
    EXPECT_EQ(tokenizer.mask_id(), 4);
    EXPECT_EQ(Tokenizer::from_vocabulary("[UNK]\n[CLS]\n[SEP]\n").mask_id(), std::nullopt);
}

TEST(Tokenizer, FindsSpecialTokensInText) {
    const Tokenizer tokenizer = small();
    EXPECT_THAT(split(tokenizer, "hello [MASK]world"), ElementsAre("hello", "[MASK]", "world"));
    EXPECT_THAT(split(tokenizer, "[mask"), ElementsAre("[UNK]", "[UNK]"));
}

TEST(Tokenizer, LongWordsAreUnknown) {
    const Texts letters = {"[UNK]", "[CLS]", "[SEP]", "a", "##a"};
    const Tokenizer tokenizer = Tokenizer::from_vocabulary(lines(letters));
    EXPECT_EQ(split(tokenizer, std::string(100, 'a')).size(), 100u);
    EXPECT_THAT(split(tokenizer, std::string(101, 'a')), ElementsAre("[UNK]"));
    const Tokenizer patient = Tokenizer::from_vocabulary(lines(letters), {.max_input_chars_per_word = 5000});
    EXPECT_EQ(split(patient, std::string(5000, 'a')).size(), 5000u);
    EXPECT_THAT(split(patient, std::string(5001, 'a')), ElementsAre("[UNK]"));
    EXPECT_THAT(split(Tokenizer::from_vocabulary(lines(letters), {.max_input_chars_per_word = 0}), "a a"),
                ElementsAre("[UNK]", "[UNK]"));
}

TEST(Tokenizer, NeverSplitsWordsOnTheList) {
    Texts vocabulary = small_vocabulary;
    vocabulary.push_back("He,LLo");
    const Tokenizer tokenizer = Tokenizer::from_vocabulary(lines(vocabulary), {.never_split = {"He,LLo"}});
    EXPECT_THAT(split(tokenizer, "He,LLo world"), ElementsAre("He,LLo", "world"));
    EXPECT_THAT(split(tokenizer, "He,LLo!"), ElementsAre("[UNK]", ",", "[UNK]", "!"));
    EXPECT_THAT(message_of(ErrorCode::invalid_argument, [] { small({.never_split = {"nowhere"}}); }),
                HasSubstr("\"nowhere\" is not in the vocabulary"));
}

TEST(Tokenizer, AddedTokensGetTheNextIds) {
    const Tokenizer tokenizer =
        small({.added_tokens = {{.content = "<x>", .special = true, .normalized = false},
                                {.content = "Big Word", .normalized = true}}});
    EXPECT_EQ(tokenizer.id("<x>"), 18);
    EXPECT_EQ(tokenizer.id("Big Word"), 19);
    EXPECT_THAT(split(tokenizer, "hello<x>bIG wORDworld"), ElementsAre("hello", "<x>", "Big Word", "world"));
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{15, 18, 16}, true), "hello world");
}

TEST(Tokenizer, DecodesWithAndWithoutCleaningUp) {
    const Tokenizer tokenizer = small();
    const std::vector<int32_t> ids = {2, 15, 17, 9, 6, 7, 12, 16, 99, 3};
    EXPECT_EQ(tokenizer.decode(ids), "[CLS] hello! unwanted, world [SEP]");
    EXPECT_EQ(tokenizer.decode(ids, true), "hello! unwanted, world");
    EXPECT_EQ(small({.clean_up_decoded = false}).decode(ids, true), "hello ! unwanted , world");
}

TEST(Tokenizer, TruncatesWithEachStrategy) {
    const Tokenizer tokenizer = small();
    const auto ids = [&](const char* text, std::optional<std::string_view> pair, size_t most,
                         Truncation how) {
        return tokenizer.encode(text, pair, {.max_length = most, .truncation = how}).ids;
    };
    EXPECT_THAT(ids("hello world hello", {}, 4, Truncation::longest_first), ElementsAre(2, 15, 16, 3));
    EXPECT_THAT(ids("hello world hello", "!", 6, Truncation::longest_first),
                ElementsAre(2, 15, 16, 3, 17, 3));
    EXPECT_THAT(ids("hello world", "! !", 6, Truncation::only_first), ElementsAre(2, 15, 3, 17, 17, 3));
    EXPECT_THAT(ids("hello world", "! !", 6, Truncation::only_second), ElementsAre(2, 15, 16, 3, 17, 3));
    EXPECT_THAT(ids("hello world", {}, 3, Truncation::none), ElementsAre(2, 15, 16, 3));
    EXPECT_THAT(ids("hello world", {}, 2, Truncation::longest_first), ElementsAre(2, 3));
}

TEST(Tokenizer, SaysWhatIsWrongWithARequest) {
    const Tokenizer tokenizer = small();
    const auto encode = [&](std::optional<std::string_view> pair, size_t most, Truncation how,
                            size_t stride = 0) {
        return [&tokenizer, pair, most, how, stride] {
            tokenizer.encode_windows("hello world hello", pair,
                                     {.max_length = most, .truncation = how, .stride = stride});
        };
    };
    EXPECT_THAT(message_of(ErrorCode::invalid_argument, encode({}, 1, Truncation::longest_first)),
                HasSubstr("max_length 1 is less than the 2 special tokens"));
    EXPECT_THAT(message_of(ErrorCode::invalid_argument, encode({}, 4, Truncation::only_second)),
                HasSubstr("no second text"));
    EXPECT_THAT(message_of(ErrorCode::invalid_input, encode("!", 6, Truncation::only_second)),
                HasSubstr("leaves no room"));
    EXPECT_THAT(message_of(ErrorCode::invalid_argument, encode({}, 4, Truncation::longest_first, 2)),
                HasSubstr("stride 2 is not less than the 2 tokens"));
}

TEST(Tokenizer, RejectsIllFormedUtf8AtItsByte) {
    const Tokenizer tokenizer = small();
    const std::pair<std::string, int> cases[] = {{"ab\xFF", 2},
                                                 {"\x80", 0},
                                                 {"a\xC0\x80", 1},
                                                 {"\xC1\xBF", 0},
                                                 {"abc\xE0\x9F\xBF", 3},
                                                 {"\xED\xA0\x80", 0},
                                                 {"\xF0\x8F\xBF\xBF", 0},
                                                 {"\xF4\x90\x80\x80", 0},
                                                 {"\xE4\xB8", 0},
                                                 {"0123456789\xE4\xB8.", 10},
                                                 {"\xF8\x88\x80\x80\x80", 0},
                                                 {"\xC3\xA9\xC3", 2}};
    for (const auto& [text, at] : cases) {
        EXPECT_THAT(message_of(ErrorCode::invalid_input, [&, t = text] { tokenizer.encode(t); }),
                    HasSubstr("not valid UTF-8 at byte " + std::to_string(at)));
    }
    EXPECT_THAT(message_of(ErrorCode::invalid_input, [&] { tokenizer.encode("a", "b\xFF"); }),
                HasSubstr("the second text is not valid UTF-8 at byte 1"));
}

TEST(Tokenizer, ReusesItsOutput) {
    const Tokenizer tokenizer = small();
    Encoding encoding;
    tokenizer.encode("hello world hello world", "hello", {}, encoding);
    const int32_t* before = encoding.ids.data();
    tokenizer.encode("world", std::nullopt, {}, encoding);
    EXPECT_EQ(encoding.ids.data(), before);
    EXPECT_THAT(encoding.ids, ElementsAre(2, 16, 3));
    EXPECT_THAT(encoding.word_ids, ElementsAre(-1, 0, -1));
}

/// Random bytes and random well-formed text, under every set of options: an answer or invalid_input, and an
/// answer that holds together.
TEST(Tokenizer, SurvivesRandomBytes) {
    std::mt19937_64 random(20);
    const Tokenizer tokenizers[] = {
        small(), small({.lowercase = false}), small({.clean_text = false, .strip_accents = false}),
        small({.added_tokens = {{.content = "ab"}, {.content = "\u4e2d", .lstrip = true, .rstrip = true}}})};
    size_t answered = 0;
    for (int round = 0; round < 40000; ++round) {
        std::string text(random() % 40, '\0');
        const bool mostly_valid = round % 2 == 0;
        for (char& c : text) c = static_cast<char>(mostly_valid ? random() % 127 + 1 : random());
        if (mostly_valid) {
            const char* odd[] = {"\u0344", "\U0001D15E", "\u302E\u0301", "\u4e2d",
                                 "\uAC01", "\u00A0",     "\u0130",       "\u037E"};
            for (size_t i = random() % 4; i > 0; --i) text.append(odd[random() % 8]).append("Un");
        }
        const Tokenizer& tokenizer = tokenizers[random() % std::size(tokenizers)];
        try {
            const Encoding encoding = tokenizer.encode(text, std::nullopt, {.max_length = random() % 30 + 2});
            ++answered;
            for (size_t i = 0; i < encoding.size(); ++i) {
                ASSERT_TRUE(tokenizer.token(encoding.ids[i]).has_value());
                ASSERT_LE(encoding.offsets[i].begin, encoding.offsets[i].end);
                ASSERT_LE(encoding.offsets[i].end, text.size());
            }
        } catch (const Error& error) {
            ASSERT_EQ(error.code(), ErrorCode::invalid_input) << error.what();
        }
    }
    EXPECT_GT(answered, 1000u);
}

TEST(Tokenizer, EncodesFromSeveralThreads) {
    const Tokenizer tokenizer = small();
    const Encoding expected = tokenizer.encode("unwanted running, hello [MASK]!");
    std::vector<std::thread> threads;
    threads.reserve(4);
    std::atomic<int> same = 0;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < 200; ++round) {
                same += tokenizer.encode("unwanted running, hello [MASK]!").ids == expected.ids;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(same, 800);
}

/// BasicTokenizer's published cases: each expected token is put into the vocabulary, so that a wrong split
/// shows.
TEST(TokenizerCases, BasicTokenization) {
    DATA_FILE(path, "reference/tokenizer_cases.json");
    const Json cases = Json::parse(std::ifstream(path)).at("hf_bert_test");
    for (const Json& entry : cases.at("basic")) {
        const Texts expected = entry.at("tokens");
        Texts vocabulary = {"[UNK]", "[CLS]", "[SEP]"};
        vocabulary.insert(vocabulary.end(), expected.begin(), expected.end());
        TokenizerOptions options{.lowercase = entry.at("lower")};
        if (entry.contains("strip_accents")) options.strip_accents = entry.at("strip_accents").get<bool>();
        if (entry.contains("never_split")) options.never_split = entry.at("never_split").get<Texts>();
        const Tokenizer tokenizer = Tokenizer::from_vocabulary(lines(vocabulary), options);
        EXPECT_EQ(split(tokenizer, entry.at("text").get<std::string>()), expected) << entry;
    }
    for (const Json& entry : cases.at("wordpiece").at("cases")) {
        const Tokenizer tokenizer = Tokenizer::from_vocabulary(
            lines(cases.at("wordpiece").at("vocab").get<Texts>()), {.lowercase = false});
        EXPECT_EQ(split(tokenizer, entry.at("text").get<std::string>()), entry.at("tokens").get<Texts>());
    }
    for (const Json& entry : cases.at("clean_text_toy_vocab")) {
        EXPECT_EQ(split(small(), entry.at("text").get<std::string>()), entry.at("tokens").get<Texts>())
            << entry;
    }
}

TEST(TokenizerCases, OffsetsOfRealVocabularies) {
    DATA_FILE(path, "reference/tokenizer_cases.json");
    const Json cases = Json::parse(std::ifstream(path)).at("hf_bert_test");
    for (const std::string kind : {"uncased", "cased"}) {
        DATA_FILE(vocabulary, "vocab/bert-base-" + kind + "-vocab.txt");
        const Tokenizer tokenizer =
            Tokenizer::from_vocabulary_file(vocabulary, {.lowercase = kind == "uncased"});
        const Json& expected = cases.at("offsets_" + kind);
        const Encoding encoding = tokenizer.encode(expected.at("text").get<std::string>());
        ASSERT_EQ(encoding.size(), expected.at("tokens").size());
        for (size_t i = 0; i < encoding.size(); ++i) {
            const Json& token = expected.at("tokens")[i];
            EXPECT_EQ(tokenizer.token(encoding.ids[i]), token[1].get<std::string>());
            EXPECT_EQ(encoding.offsets[i], (TextRange{token[0][0], token[0][1]}));
        }
    }
}

TEST(TokenizerCases, RealVocabularies) {
    DATA_FILE(path, "reference/tokenizer_cases.json");
    const Json all = Json::parse(std::ifstream(path));
    DATA_FILE(uncased, "vocab/bert-base-uncased-vocab.txt");
    DATA_FILE(chinese, "vocab/bert-base-chinese-vocab.txt");
    const Tokenizer english = Tokenizer::from_vocabulary_file(uncased);
    const Json& bumblebee = all.at("bumblebee_bert_base_uncased");
    EXPECT_EQ(Json(english.encode("Test sentence with [MASK].").ids), bumblebee.at("input_ids")[0]);
    const Encoding pair = english.encode("Question?", "Answer");
    std::vector<int32_t> ids = bumblebee.at("input_ids")[1], types = bumblebee.at("token_type_ids")[1];
    ids.resize(pair.size());  // the published row is padded
    types.resize(pair.size());
    EXPECT_EQ(pair.ids, ids);
    EXPECT_EQ(pair.type_ids, types);
    for (const bool whole : {true, false}) {
        const Json& expected =
            all.at("hf_bert_test").at(whole ? "chinese_tokenize_true" : "chinese_tokenize_false");
        const Tokenizer tokenizer = Tokenizer::from_vocabulary_file(chinese, {.handle_chinese_chars = whole});
        EXPECT_EQ(split(tokenizer, expected.at("text").get<std::string>()),
                  expected.at("tokens").get<Texts>());
    }
    EXPECT_THAT(split(english, ""), IsEmpty());
}

}  // namespace
}  // namespace vkbert
