// Model folders written for each head and read back, without a device (tests/parity/round_trip.py opens them
// in transformers).
#include "bert/model_files.hpp"

#include <gtest/gtest.h>

#include "bert/checkpoint.hpp"
#include "bert/initial_values.hpp"
#include "bert/safetensors.hpp"
#include "bert/tokenizer/tokenizer.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

Config small() {
    Config config = config_of_shape("2,16,2,32");
    config.vocab_size = 40;
    config.labels = {"O", "B-PER", "I-PER"};
    config.layer_norm_eps = 1e-6f;
    config.classifier_dropout = 0.25f;
    return config;
}

TEST(ModelFiles, EveryHeadsParametersComeBackBitForBit) {
    const Config config = small();
    for (const Head head :
         {Head::sequence_classification, Head::token_classification, Head::question_answering,
          Head::multiple_choice, Head::masked_lm, Head::pretraining}) {
        const test::TemporaryFolder folder;
        const auto path = folder.path() / "model.safetensors";
        const ParameterTable table(config, head);
        const auto value = [&](size_t row, uint64_t first, std::span<float> out) {
            initial_values(table, row, config, 5, first, out);
            for (size_t i = 0; i < out.size(); ++i) out[i] += float(row);
        };
        write_parameters(table, path, "", value);

        const Checkpoint checkpoint = Checkpoint::open(folder.path());
        EXPECT_EQ(checkpoint.tensors().size(), table.rows().size());
        EXPECT_TRUE(match_parameters(table, checkpoint).unused.empty());
        EXPECT_EQ(detect_head(Config{}, checkpoint),
                  head == Head::multiple_choice ? Head::sequence_classification : head)
            << name_of(head);
        uint64_t compared = 0;
        read_parameters(table, path, "", [&](size_t row, uint64_t first, std::span<const float> values) {
            std::vector<float> expected(values.size());
            value(row, first, expected);
            EXPECT_EQ(std::memcmp(expected.data(), values.data(), values.size_bytes()), 0)
                << table.rows()[row].name;
            compared += values.size();
        });
        EXPECT_EQ(compared, table.elements());
        EXPECT_NE(test::file_bytes(path).find(R"("__metadata__":{"format":"pt"})"), std::string::npos);
    }
}

TEST(ModelFiles, MissingAndMisshapenRowsAreRefused) {
    const Config config = small();
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "model.safetensors";
    const ParameterTable tagger(config, Head::token_classification);
    write_parameters(tagger, path, "",
                     [](size_t, uint64_t, std::span<float> out) { std::ranges::fill(out, 1.0f); });
    Config other = config;
    other.labels.pop_back();
    const auto refused = [&](const Config& changed, Head head, const std::string& part) {
        const ParameterTable table(changed, head);
        test::expect_error(ErrorCode::invalid_input, part, [&] {
            read_parameters(table, path, "", [](size_t, uint64_t, std::span<const float>) {});
        });
    };
    refused(other, Head::token_classification, "has no 'classifier.weight' of shape [2, 16]");
    refused(config, Head::question_answering, "has no 'qa_outputs.weight'");
}

TEST(ModelFiles, SettingsAndTokenizerGoAlong) {
    const auto source = test::source_folder() / "tests/golden/classification";
    const test::TemporaryFolder folder;
    Config config = small();
    config.architectures = {"BertForTokenClassification"};
    write_model_settings(source, config, folder.path());
    const Config again = read_config(folder.path());
    EXPECT_EQ(config_json(again), config_json(config));
    EXPECT_EQ(again.labels, config.labels);
    EXPECT_EQ(again.layer_norm_eps, config.layer_norm_eps);
    EXPECT_EQ(again.classifier_dropout, config.classifier_dropout);
    const Tokenizer first = Tokenizer::from_folder(source), second = Tokenizer::from_folder(folder.path());
    EXPECT_EQ(first.vocabulary_size(), second.vocabulary_size());
    EXPECT_EQ(first.encode("the king walks").ids, second.encode("the king walks").ids);
}

}  // namespace
}  // namespace vkbert
