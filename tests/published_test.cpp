// Outputs that others published for all-MiniLM-L6-v2 (VKBERT_TEST_DATA/reference/model_outputs.json),
// reproduced from text to numbers: tokenizer, encoder, pooling.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "bert/session.hpp"
#include "bert/tokenizer/tokenizer.hpp"
#include "tests/golden_files.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

/// The files print four digits.
constexpr double printed = 6e-5;

std::filesystem::path environment_path(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

class PublishedMiniLm : public testing::Test {
  protected:
    void SetUp() override {
        const auto folder = environment_path("VKBERT_TEST_MINILM");
        const auto file = environment_path("VKBERT_TEST_DATA") / "reference/model_outputs.json";
        if (!std::filesystem::exists(folder / "model.safetensors"))
            GTEST_SKIP() << "no all-MiniLM-L6-v2: set VKBERT_TEST_MINILM, or run tools/fetch_minilm";
        if (!std::filesystem::exists(file)) GTEST_SKIP() << "no VKBERT_TEST_DATA";
        published = read_json(file);
        tokenizer = std::make_unique<Tokenizer>(Tokenizer::from_folder(folder));
        config = read_config(folder);
        checkpoint = std::make_unique<Checkpoint>(Checkpoint::open(folder));
    }

    vkbert::Matrix run(const std::vector<std::string>& texts, Output output) {
        const auto model = Model::load(device(), config, *checkpoint);
        Batch batch;
        for (const std::string& text : texts) {
            const Encoding encoding = tokenizer->encode(text);
            batch.add(encoding.ids, encoding.type_ids);
        }
        SessionOptions options;
        options.output = output, options.normalize = true;
        options.max_tokens = batch.tokens(), options.max_sequences = batch.sequences();
        Session session(*model, options);
        session.set_input(batch);
        session.run();
        return session.read();
    }

    /// Expects the cosines of all pairs as published.
    void expect_similarities(const std::vector<std::string>& a, const std::vector<std::string>& b,
                             const nlohmann::json& expected) {
        const vkbert::Matrix left = run(a, Output::sentence), right = run(b, Output::sentence);
        for (size_t i = 0; i < a.size(); ++i)
            for (size_t j = 0; j < b.size(); ++j) {
                double cosine = 0;
                for (uint32_t h = 0; h < left.columns; ++h)
                    cosine += double(left.values[i * left.columns + h]) * right.values[j * left.columns + h];
                EXPECT_NEAR(cosine, expected.at(i).at(j).get<double>(), printed) << a[i] << " / " << b[j];
            }
    }

    nlohmann::json published;
    std::unique_ptr<Tokenizer> tokenizer;
    std::unique_ptr<Checkpoint> checkpoint;
    Config config;
};

TEST_F(PublishedMiniLm, SimilaritiesOfSentenceTransformersReadmes) {
    const nlohmann::json& blocks = published["sentence_transformers"]["all-MiniLM-L6-v2 cosine"];
    ASSERT_EQ(blocks.size(), 2u);
    expect_similarities(blocks[0]["sentences"], blocks[0]["sentences"], blocks[0]["similarity"]);
    expect_similarities(blocks[1]["a"], blocks[1]["b"], blocks[1]["similarity"]);
}

TEST_F(PublishedMiniLm, HiddenStatesOfCandlesExample) {
    const nlohmann::json& example = published["candle_bert_example"];
    config.hidden_act = "gelu_new";  // what candle computed then, whatever the checkpoint's config says
    const vkbert::Matrix hidden = run({example["prompt"]}, Output::hidden_states);
    const auto shape = example["last_hidden_state shape"].get<std::vector<uint32_t>>();
    ASSERT_EQ(hidden.rows, shape[1]);
    ASSERT_EQ(hidden.columns, shape[2]);
    EXPECT_EQ(example["rows"].size(), 6u);
    for (const auto& [row, values] : example["rows"].items()) {
        const float* first = hidden.values.data() + std::stoul(row) * hidden.columns;
        for (size_t i = 0; i < 3; ++i) {
            EXPECT_NEAR(first[i], values["first3"].at(i).get<double>(), printed) << "row " << row;
            EXPECT_NEAR(first[hidden.columns - 3 + i], values["last3"].at(i).get<double>(), printed)
                << "row " << row;
        }
    }
}

}  // namespace
}  // namespace vkbert::test
