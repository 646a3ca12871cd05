// config.json: real ones, defaults, presets, and every absurd value.
#include "bert/config.hpp"

#include <gtest/gtest.h>

#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using test::expect_error;

// A complete config with `changes` before the rest: {"field": value, ...} fields.
std::string config_with(const std::string& field, const std::string& value) {
    const std::pair<const char*, const char*> fields[] = {
        {"hidden_size", "64"},        {"num_hidden_layers", "2"}, {"num_attention_heads", "4"},
        {"intermediate_size", "256"}, {"vocab_size", "100"},      {"model_type", "\"bert\""}};
    std::string text = "{";
    for (const auto& [name, usual] : fields)
        if (name != field) text += fmt::format("\"{}\":{},", name, usual);
    if (!value.empty()) text += fmt::format("\"{}\":{},", field, value);
    text.back() = '}';
    return text;
}

TEST(Config, HasBertsDefaults) {
    const Config config = parse_config(config_with("", ""), "config.json");
    EXPECT_EQ(config.hidden_size, 64u);
    EXPECT_EQ(config.num_hidden_layers, 2u);
    EXPECT_EQ(config.num_attention_heads, 4u);
    EXPECT_EQ(config.head_size(), 16u);
    EXPECT_EQ(config.intermediate_size, 256u);
    EXPECT_EQ(config.vocab_size, 100u);
    EXPECT_EQ(config.max_position_embeddings, 512u);
    EXPECT_EQ(config.type_vocab_size, 2u);
    EXPECT_EQ(config.layer_norm_eps, 1e-12f);
    EXPECT_EQ(config.activation(), ops::Activation::gelu);
    EXPECT_EQ(config.labels, (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
    EXPECT_EQ(config.pad_token_id, 0u);
    EXPECT_FALSE(config.classifier_dropout);
    EXPECT_FALSE(config.is_decoder);
}

TEST(Config, ReadsEveryField) {
    const Config config = parse_config(
        R"({"architectures":["BertForSequenceClassification"],"hidden_size":8,"num_hidden_layers":3,
            "num_attention_heads":2,"intermediate_size":12,"vocab_size":9,"max_position_embeddings":7,
            "type_vocab_size":1,"hidden_act":"gelu_new","layer_norm_eps":1e-5,"hidden_dropout_prob":0,
            "attention_probs_dropout_prob":0.25,"classifier_dropout":0.5,"initializer_range":0.01,
            "pad_token_id":null,"problem_type":"regression","id2label":{"0":"x"},"is_decoder":true,
            "position_embedding_type":"absolute","tie_word_embeddings":false,"_name_or_path":"a/b","use_cache":true})",
        "config.json");
    EXPECT_EQ(config.activation(), ops::Activation::gelu_tanh);
    EXPECT_EQ(config.layer_norm_eps, 1e-5f);
    EXPECT_EQ(config.hidden_dropout_prob, 0.0f);
    EXPECT_EQ(config.attention_probs_dropout_prob, 0.25f);
    EXPECT_EQ(config.classifier_dropout, 0.5f);
    EXPECT_EQ(config.initializer_range, 0.01f);
    EXPECT_FALSE(config.pad_token_id);
    EXPECT_EQ(config.problem_type, "regression");
    EXPECT_EQ(config.labels, std::vector<std::string>{"x"});
    EXPECT_EQ(config.architectures, std::vector<std::string>{"BertForSequenceClassification"});
    EXPECT_TRUE(config.is_decoder);
    EXPECT_FALSE(config.tie_word_embeddings);
    EXPECT_EQ(config.max_position_embeddings, 7u);
    EXPECT_EQ(config.type_vocab_size, 1u);
}

TEST(Config, ItsJsonReadsBackTheSame) {
    Config config = config_of_shape("tiny");
    config.labels = {"negative", "positive \"quoted\"", "\u00e9"};
    config.classifier_dropout = 0.3f;
    config.pad_token_id.reset();
    config.tie_word_embeddings = false;
    config.problem_type = "multi_label_classification";
    config.architectures = {"BertForSequenceClassification"};
    const std::string text = config_json(config);
    EXPECT_NE(text.find("\"layer_norm_eps\": 1e-12"), std::string::npos) << text;
    EXPECT_NE(text.find("\"classifier_dropout\": 0.3,"), std::string::npos) << text;
    EXPECT_EQ(config_json(parse_config(text, "config.json")), text);
    EXPECT_EQ(parse_config(text, "config.json").labels, config.labels);
}

TEST(Config, KnowsTheShapesOfThePaper) {
    const Config base = config_of_shape("base"), large = config_of_shape("large"),
                 tiny = config_of_shape("tiny");
    EXPECT_EQ(config_json(base), config_json(Config(parse_config(R"({"hidden_size":768,"num_hidden_layers":12,
        "num_attention_heads":12,"intermediate_size":3072,"vocab_size":30522})",
                                                                 ""))));
    EXPECT_EQ(large.num_hidden_layers, 24u);
    EXPECT_EQ(large.hidden_size, 1024u);
    EXPECT_EQ(large.num_attention_heads, 16u);
    EXPECT_EQ(large.intermediate_size, 4096u);
    EXPECT_EQ(tiny.hidden_size, 128u);
    EXPECT_EQ(config_json(config_of_shape("2,128,2,512")), config_json(tiny));
    for (const char* bad :
         {"", "huge", "2", "2,128,2", "2,128,2,512,", "2,128,2,512,3", "2, 128,2,512", "-2,128,2,512",
          "2,128,2,x", "99999999999,128,2,512", "0,128,2,512", "2,130,2,512", "2,128,3,512"})
        expect_error(ErrorCode::invalid_argument, fmt::format("shape '{}'", bad),
                     [&] { config_of_shape(bad); });
}

TEST(Config, RefusesAbsurdValues) {
    const struct {
        const char *field, *value;
    } cases[] = {
        {"hidden_size", "0"},
        {"hidden_size", "-64"},
        {"hidden_size", "64.0"},
        {"hidden_size", "\"64\""},
        {"hidden_size", "true"},
        {"hidden_size", "[64]"},
        {"hidden_size", "4294967360"},
        {"hidden_size", "1e30"},
        {"hidden_size", "99999999999999999999999"},
        {"hidden_size", "66"},
        {"hidden_size", "null"},
        {"hidden_size", ""},
        {"num_hidden_layers", "0"},
        {"num_hidden_layers", "1000000"},
        {"num_hidden_layers", ""},
        {"num_attention_heads", "0"},
        {"num_attention_heads", "3"},
        {"num_attention_heads", "128"},
        {"intermediate_size", "0"},
        {"intermediate_size", "1000000000"},
        {"vocab_size", "0"},
        {"vocab_size", "-1"},
        {"vocab_size", "4000000000"},
        {"max_position_embeddings", "0"},
        {"max_position_embeddings", "1.5"},
        {"type_vocab_size", "0"},
        {"type_vocab_size", "{}"},
        {"layer_norm_eps", "0"},
        {"layer_norm_eps", "-1e-12"},
        {"layer_norm_eps", "1e-80"},
        {"layer_norm_eps", "1"},
        {"layer_norm_eps", "\"1e-12\""},
        {"hidden_dropout_prob", "1"},
        {"hidden_dropout_prob", "-0.1"},
        {"attention_probs_dropout_prob", "1e308"},
        {"classifier_dropout", "2"},
        {"initializer_range", "-1"},
        {"pad_token_id", "100"},
        {"pad_token_id", "-1"},
        {"is_decoder", "1"},
        {"hidden_act", "5"},
        {"model_type", "[]"},
        {"problem_type", "\"guessing\""},
        {"architectures", "\"BertModel\""},
        {"architectures", "[1]"},
        {"id2label", "[]"},
        {"id2label", "{}"},
        {"id2label", "{\"1\":\"a\"}"},
        {"id2label", "{\"0\":\"a\",\"2\":\"b\"}"},
        {"id2label", "{\"0\":3}"},
        {"num_labels", "0"},
        {"num_labels", "99999999"},
        {"num_labels", "\"2\""},
    };
    for (const auto& bad : cases) {
        SCOPED_TRACE(fmt::format("{}: {}", bad.field, bad.value));
        expect_error(ErrorCode::invalid_input, "dir/config.json: ", [&] {
            parse_config(config_with(bad.field, bad.value), "dir/config.json");
        });
        const std::string field =
            std::string(bad.field) == "num_attention_heads" ? "num_attention_heads" : bad.field;
        expect_error(ErrorCode::invalid_input, field,
                     [&] { parse_config(config_with(bad.field, bad.value), ""); });
    }
}

TEST(Config, SaysWhatIsNotSupported) {
    const struct {
        const char *field, *value;
    } cases[] = {
        {"model_type", "\"roberta\""}, {"position_embedding_type", "\"relative_key\""},
        {"hidden_act", "\"mish\""},    {"add_cross_attention", "true"},
        {"intermediate_size", "258"},
    };
    for (const auto& bad : cases)
        expect_error(ErrorCode::unsupported, fmt::format("config.json: {} is {}", bad.field, bad.value),
                     [&] { parse_config(config_with(bad.field, bad.value), "config.json"); });
}

TEST(Config, RefusesWhatIsNoConfig) {
    for (const char* text :
         {"", "[]", "3", "{", "{\"hidden_size\":}", "\xff\xfe", "{\"a\":1,\"a\":2}", "null"})
        expect_error(ErrorCode::invalid_input, "config.json: ", [&] { parse_config(text, "config.json"); });
    expect_error(ErrorCode::invalid_input, "nested deeper",
                 [&] { parse_config("{\"a\":" + std::string(1000000, '['), "config.json"); });
    const test::TemporaryFolder folder;
    expect_error(ErrorCode::invalid_input, "config.json: No such file", [&] { read_config(folder.path()); });
    std::filesystem::create_directory(folder.path() / "config.json");
    expect_error(ErrorCode::invalid_input, "config.json: ", [&] { read_config(folder.path()); });
    const auto sparse = folder.write("sparse.json", "");
    std::filesystem::resize_file(sparse, uint64_t(1) << 40);
    expect_error(ErrorCode::invalid_input, "1099511627776 bytes, more than", [&] { read_config(sparse); });
}

TEST(Config, ReadsRealFiles) {
    const auto folder = test::test_data() / "weights" / "camphr-ner-bert";
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no VKBERT_TEST_DATA";
    const Config config = read_config(folder);
    EXPECT_EQ(config.hidden_size, 16u);
    EXPECT_EQ(config.num_labels(), 9u);
    EXPECT_EQ(config.labels[8], "I-LOC");
}

}  // namespace
}  // namespace vkbert
