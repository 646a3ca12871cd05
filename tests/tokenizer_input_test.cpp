// Files that define a tokenizer: good ones of every kind, and a table of bad ones, each of which must give a
// one-line error that names the file and the fault.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "bert/tokenizer/tokenizer.hpp"
#include "runtime/error.hpp"

namespace vkbert {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Files = std::map<std::string, std::string>;

/// A folder of files that goes away with the test.
class Folder {
  public:
    explicit Folder(const Files& files) {
        std::string name = (std::filesystem::temp_directory_path() / "vkbert_tokenizer_XXXXXX").string();
        path = mkdtemp(name.data());
        for (const auto& [file, contents] : files) std::ofstream(path / file, std::ios::binary) << contents;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::filesystem::path path;
};

const std::string vocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\nworld\n##s\n\xE4\xB8\xAD\ncafe\ncaf\xC3\xA9\n";

Json tokenizer_json() {
    return Json::parse(R"({"version": "1.0", "truncation": {"max_length": 3}, "padding": null,
        "added_tokens": [{"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
                          "normalized": false, "special": true},
                         {"id": 7, "content": "<tag>", "single_word": false, "lstrip": false, "rstrip": false,
                          "normalized": false, "special": false}],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "hello": 4, "##s": 5, "!": 6}}})");
}

std::vector<int32_t> ids(const Tokenizer& tokenizer, std::string_view text) {
    return tokenizer.encode(text).ids;
}

std::string message(const Files& files) {
    const Folder folder(files);
    try {
        Tokenizer::from_folder(folder.path);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid_input) << error.what();
        EXPECT_THAT(error.what(), AllOf(HasSubstr(folder.path.string()), Not(HasSubstr("\n"))));
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

TEST(TokenizerFiles, VocabularyAlone) {
    const Folder folder({{"vocab.txt", vocabulary}});
    EXPECT_THAT(ids(Tokenizer::from_folder(folder.path), "Hello caf\u00E9s"), ElementsAre(2, 5, 10, 8, 3));
}

TEST(TokenizerFiles, LineEndsAndByteOrderMark) {
    std::string windows = "\xEF\xBB\xBF";
    for (const char c : vocabulary) windows += c == '\n' ? "\r\n" : std::string(1, c);
    EXPECT_THAT(ids(Tokenizer::from_vocabulary(windows), "hello worlds"), ElementsAre(2, 5, 7, 8, 3));
    const std::string unfinished = vocabulary.substr(0, vocabulary.size() - 1);
    EXPECT_EQ(Tokenizer::from_vocabulary(unfinished).vocabulary_size(), 12u);
}

TEST(TokenizerFiles, OfEqualLinesTheLastCounts) {
    const Tokenizer tokenizer = Tokenizer::from_vocabulary(vocabulary + "hello\n\n");
    EXPECT_EQ(tokenizer.id("hello"), 12);
    EXPECT_EQ(tokenizer.id(""), std::nullopt);
    EXPECT_EQ(tokenizer.vocabulary_size(), 14u);
}

TEST(TokenizerFiles, ConfigurationBesideVocabulary) {
    const Folder folder(
        {{"vocab.txt", vocabulary + "<s>\n"},
         {"tokenizer_config.json", R"({"do_lower_case": false, "tokenize_chinese_chars": false,
                            "strip_accents": true, "model_max_length": 512, "never_split": null,
                            "cls_token": {"content": "<s>", "special": true}, "additional_special_tokens": ["<e1>"]})"}});
    const Tokenizer tokenizer = Tokenizer::from_folder(folder.path);
    EXPECT_EQ(tokenizer.model_max_length(), 512u);
    EXPECT_EQ(tokenizer.cls_id(), 12);
    EXPECT_EQ(tokenizer.id("<e1>"), 13);
    EXPECT_THAT(ids(tokenizer, "Hello<e1> caf\u00E9 \u4e2d\u4e2d"), ElementsAre(12, 6, 13, 10, 1, 3));
}

// What sentence-transformers' do_lower_case asks for, as its Lowercase normalizer before the tokenizer's own.
TEST(TokenizerFiles, LowerCaseWhatTheFilesLeaveCasedAndKeepItsAccents) {
    const Folder cased({{"vocab.txt", vocabulary}, {"tokenizer_config.json", R"({"do_lower_case": false})"}});
    EXPECT_THAT(ids(Tokenizer::from_folder(cased.path), "HELLO hello"), ElementsAre(2, 1, 5, 3));
    const Tokenizer lowered = Tokenizer::from_folder(cased.path, true);
    EXPECT_THAT(ids(lowered, "HELLO hello [MASK]"), ElementsAre(2, 5, 5, 4, 3));
    EXPECT_THAT(ids(lowered, "CAF\u00C9"), ElementsAre(2, 11, 3));
    const Folder uncased({{"vocab.txt", vocabulary}});
    EXPECT_THAT(ids(Tokenizer::from_folder(uncased.path, true), "CAF\u00C9"), ElementsAre(2, 10, 3))
        << "an uncased tokenizer stays as it is";
}

TEST(TokenizerFiles, OldSpecialTokensMapAndAddedTokens) {
    const Folder folder({{"vocab.txt", vocabulary},
                         {"special_tokens_map.json", R"({"mask_token": "world"})"},
                         {"added_tokens.json", R"({"<new>": 12})"}});
    const Tokenizer tokenizer = Tokenizer::from_folder(folder.path);
    EXPECT_EQ(tokenizer.mask_id(), 7);
    EXPECT_EQ(tokenizer.model_max_length(), std::nullopt);
    EXPECT_THAT(ids(tokenizer, "hello<NEW>"), ElementsAre(2, 5, 12, 3));
}

TEST(TokenizerFiles, TokenizerJson) {
    const Tokenizer tokenizer = Tokenizer::from_json(tokenizer_json().dump());
    EXPECT_THAT(ids(tokenizer, "HELLOs hello<tag>!"), ElementsAre(2, 4, 5, 4, 7, 6, 3));
    EXPECT_EQ(tokenizer.vocabulary_size(), 8u);
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{4, 5, 6}), "hellos !");
    EXPECT_EQ(tokenizer.mask_id(), std::nullopt);
}

TEST(TokenizerFiles, TokenizerJsonWinsAndTheConfigurationChangesItsNormalizer) {
    Json json = tokenizer_json();
    const Files files = {{"tokenizer.json", json.dump()},
                         {"vocab.txt", vocabulary},
                         {"tokenizer_config.json", R"({"do_lower_case": false})"}};
    const Folder folder(files);
    EXPECT_THAT(ids(Tokenizer::from_folder(folder.path), "HELLO hello"), ElementsAre(2, 1, 4, 3));
    Files generic = files;
    generic["tokenizer_config.json"] =
        R"({"do_lower_case": false, "tokenizer_class": "PreTrainedTokenizerFast"})";
    const Folder other(generic);
    EXPECT_THAT(ids(Tokenizer::from_folder(other.path), "HELLO hello"), ElementsAre(2, 4, 4, 3));
}

TEST(TokenizerFiles, OldPostProcessorAndUntypedModel) {
    Json json = tokenizer_json();
    json["post_processor"] =
        Json::parse(R"({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]})");
    json["model"].erase("type");
    json["normalizer"] = nullptr;
    const Tokenizer tokenizer = Tokenizer::from_json(json.dump());
    EXPECT_THAT(tokenizer.encode("hello Hello", "!").ids, ElementsAre(2, 4, 1, 3, 6, 3));
    json["post_processor"] = nullptr;
    EXPECT_THAT(Tokenizer::from_json(json.dump()).encode("hello", "!").ids, ElementsAre(4, 6));
}

struct BadJson {
    const char* pointer;  // what to replace in tokenizer_json()
    const char* value;
    const char* fault;
};

TEST(TokenizerFiles, BadTokenizerJson) {
    const BadJson cases[] = {
        {"/model/type", R"("BPE")", "model BPE is not supported"},
        {"/model/vocab", R"({})", "no vocabulary"},
        {"/model/vocab", R"([["a", 1]])", "no vocabulary"},
        {"/model/vocab/hello", R"(-1)", "id of token \"hello\" is not a number in range"},
        {"/model/vocab/hello", R"("x")", "id of token \"hello\" is not a number in range"},
        {"/model/vocab/hello", R"({"a": [1]})", "id of token \"hello\" is not a number in range"},
        {"/model/vocab/hello", R"(4294967296)", "id of token \"hello\" is not a number in range"},
        {"/model/vocab/hello", R"(2147483647)", "out of range"},
        {"/model/vocab/hello", R"(6)", "both have the id 6"},
        {"/model/max_input_chars_per_word", R"("many")", "is not a whole number"},
        {"/model/max_input_chars_per_word", R"(-5)", "max_input_chars_per_word is -5"},
        {"/model/unk_token", R"("<unk>")", "no unknown token \"<unk>\""},
        {"/model", R"(7)", "model unknown is not supported"},
        {"/normalizer/type", R"("NFKC")", "normalizer NFKC is not supported"},
        {"/normalizer/lowercase", R"("yes")", "\"lowercase\" is not a boolean"},
        {"/pre_tokenizer/type", R"("ByteLevel")", "pre_tokenizer ByteLevel is not supported"},
        {"/pre_tokenizer", R"(null)", "pre_tokenizer null is not supported"},
        {"/post_processor/type", R"("RobertaProcessing")",
         "post_processor RobertaProcessing is not supported"},
        {"/post_processor/pair", R"([{"Sequence": {"id": "A"}}])",
         "does not use its texts once and in order"},
        {"/post_processor/single", R"([{"Sequence": 3}])", "\"single\" is malformed"},
        {"/post_processor/single", R"(17)", "\"single\" is malformed"},
        {"/post_processor/special_tokens", R"({})", "no special token \"[CLS]\""},
        {"/post_processor/special_tokens/[CLS]/ids/0", R"(99)",
         "special token 99 of the post_processor is not in the vocabulary"},
        {"/added_tokens/0/content", R"(null)", "an added token has no content"},
        {"/added_tokens/1/id", R"(4)", "has the id 4 of the token \"hello\""},
        {"/added_tokens/1/id", R"(-3)", "the id of an added token is not a number in range"},
    };
    for (const BadJson& entry : cases) {
        Json json = tokenizer_json();
        json[Json::json_pointer(entry.pointer)] = Json::parse(entry.value);
        EXPECT_THAT(message({{"tokenizer.json", json.dump()}}),
                    AllOf(HasSubstr("tokenizer.json"), HasSubstr(entry.fault)))
            << entry.pointer << " = " << entry.value;
    }
}

TEST(TokenizerFiles, BadFiles) {
    const std::string deep(100000, '[');
    const std::pair<Files, const char*> cases[] = {
        {{}, "neither tokenizer.json nor vocab.txt"},
        {{{"vocab.txt", ""}}, "vocab.txt: "},
        {{{"vocab.txt", "\n\n\n"}}, "no unknown token \"[UNK]\" in the vocabulary"},
        {{{"vocab.txt", "[UNK]\nhello\n"}}, "no separator token \"[SEP]\" in the vocabulary"},
        {{{"vocab.txt", "[UNK]\n[SEP]\n"}}, "no class token \"[CLS]\" in the vocabulary"},
        {{{"vocab.txt", "[UNK]\n\xFF\xFE\n"}}, "line 2 is not valid UTF-8"},
        {{{"vocab.txt", vocabulary + std::string(10 << 20, 'x')}}, "token 12 has 10485760 bytes"},
        {{{"tokenizer.json", ""}}, "tokenizer.json: "},
        {{{"tokenizer.json", "{"}}, "not valid JSON"},
        {{{"tokenizer.json", deep}}, "not valid JSON"},
        {{{"tokenizer.json", "[]"}}, "no \"model\""},
        {{{"tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 1"}}, "not valid JSON"},
        {{{"tokenizer.json", "\xFF"}}, "not valid JSON"},
        {{{"vocab.txt", vocabulary}, {"tokenizer_config.json", "{]"}},
         "tokenizer_config.json: not valid JSON"},
        {{{"vocab.txt", vocabulary}, {"tokenizer_config.json", "3"}},
         "tokenizer_config.json: not a JSON object"},
        {{{"vocab.txt", vocabulary}, {"tokenizer_config.json", R"({"do_lower_case": "yes"})"}},
         "\"do_lower_case\" is not a boolean"},
        {{{"vocab.txt", vocabulary}, {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})"}},
         "is not an id"},
        {{{"vocab.txt", vocabulary}, {"added_tokens.json", R"({"<a>": 3})"}},
         "has the id 3 of the token \"[SEP]\""},
        {{{"vocab.txt", vocabulary}, {"added_tokens.json", R"({"<a>": 2000000000})"}}, "out of range"},
    };
    for (const auto& [files, fault] : cases) EXPECT_THAT(message(files), HasSubstr(fault));
}

TEST(TokenizerFiles, FoldersInPlaceOfFiles) {
    for (const char* name : {"vocab.txt", "tokenizer.json"}) {
        const Folder folder({});
        std::filesystem::create_directory(folder.path / name);
        EXPECT_THROW(Tokenizer::from_folder(folder.path), Error);
    }
    EXPECT_THROW(Tokenizer::from_folder("/nonexistent"), Error);
    EXPECT_THROW(Tokenizer::from_vocabulary_file("/nonexistent"), Error);
}

/// Any damage to a tokenizer.json gives a tokenizer or invalid_input.
TEST(TokenizerFiles, SurvivesDamagedJson) {
    std::mt19937_64 random(3);
    const std::string good = tokenizer_json().dump();
    int loaded = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string bad = good;
        for (int i = 0; i < 1 + round % 3; ++i)
            bad[random() % bad.size()] = static_cast<char>(random() % 96 + 32);
        if (round % 5 == 0) bad.resize(random() % bad.size());
        try {
            Tokenizer::from_json(bad).encode("hello <tag>!");
            ++loaded;
        } catch (const Error& error) {
            ASSERT_EQ(error.code(), ErrorCode::invalid_input) << error.what();
        }
    }
    EXPECT_GT(loaded, 0);
}

}  // namespace
}  // namespace vkbert
