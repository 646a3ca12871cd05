// The parameter table against what transformers saves, and what is said about checkpoints that do not fit.
#include "bert/parameters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bert/safetensors.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using test::expect_error;
using test::TemporaryFolder;

constexpr Head heads[] = {Head::none,
                          Head::masked_lm,
                          Head::next_sentence,
                          Head::pretraining,
                          Head::sequence_classification,
                          Head::token_classification,
                          Head::question_answering,
                          Head::multiple_choice};

Config small_config() {
    Config config = config_of_shape("2,8,2,12");
    config.vocab_size = 10;
    config.max_position_embeddings = 6;
    config.labels = {"a", "b", "c"};
    return config;
}

// Writes zeros for `tensors` and opens the file.
Checkpoint checkpoint_of(const TemporaryFolder& folder, const std::vector<StoredTensor>& tensors) {
    const auto path = folder.path() / "model.safetensors";
    SafetensorsWriter writer(path, tensors);
    for (const StoredTensor& tensor : tensors)
        writer.write(std::vector<std::byte>(size_t(tensor.elements() * size_of(tensor.type))));
    writer.finish();
    return Checkpoint::open(path);
}

std::vector<StoredTensor> tensors_of(const ParameterTable& table) {
    std::vector<StoredTensor> tensors;
    for (const Parameter& row : table.rows()) tensors.push_back({.name = row.name, .shape = row.shape});
    return tensors;
}

TEST(Parameters, AreThoseOfTransformersForEveryHead) {
    const struct {
        const char* folder;
        Head head;
        bool pooler;
    } models[] = {
        {"encoder", Head::none, true},
        {"masked_lm", Head::masked_lm, false},
        {"next_sentence", Head::next_sentence, false},
        {"pretraining", Head::pretraining, false},
        {"classification", Head::sequence_classification, false},
        {"token_classification", Head::token_classification, false},
        {"question_answering", Head::question_answering, false},
        {"multiple_choice", Head::multiple_choice, false},
    };
    for (const auto& model : models) {
        SCOPED_TRACE(model.folder);
        const auto folder = test::source_folder() / "tests" / "golden" / model.folder;
        const Config config = read_config(folder);
        const Checkpoint checkpoint = Checkpoint::open(folder);
        EXPECT_EQ(detect_head(config, checkpoint), model.head);
        Config silent = config;
        silent.architectures = {"SomethingElse"};
        // One label: nothing but the architecture tells multiple choice from classification.
        EXPECT_EQ(detect_head(silent, checkpoint),
                  model.head == Head::multiple_choice ? Head::sequence_classification : model.head);
        const ParameterTable table(config, model.head, model.pooler && has_pooler(checkpoint));
        const ParameterSources sources = match_parameters(table, checkpoint);
        EXPECT_THAT(sources.unused, testing::IsEmpty());
        for (size_t i = 0; i < table.rows().size(); ++i)
            EXPECT_EQ(sources.tensors[i]->name, table.rows()[i].name);
    }
}

TEST(Parameters, StandInTheirFixedOrder) {
    for (const Head head : heads) {
        const ParameterTable table(small_config(), head);
        const auto& rows = table.rows();
        for (size_t i = 0; i < rows.size(); ++i) {
            EXPECT_EQ(rows[i].decays, i < table.decayed()) << rows[i].name;
            EXPECT_EQ(rows[i].decays, rows[i].shape.size() == 2) << rows[i].name;
            EXPECT_EQ(table.index(rows[i].name), i);
            EXPECT_EQ(rows[i].name.starts_with("bert."),
                      head != Head::none && rows[i].name.find("cls.") != 0 &&
                          rows[i].name.find("classifier") != 0 && rows[i].name.find("qa_outputs") != 0)
                << rows[i].name;
        }
        for (const char* kind : {"weight", "bias"}) {
            const size_t query = table.index(fmt::format("encoder.layer.1.attention.self.query.{}", kind));
            EXPECT_EQ(table.index(fmt::format("bert.encoder.layer.1.attention.self.key.{}", kind)),
                      query + 1);
            EXPECT_EQ(table.index(fmt::format("encoder.layer.1.attention.self.value.{}", kind)), query + 2);
            EXPECT_FALSE(rows[query].joined);
            EXPECT_TRUE(rows[query + 1].joined && rows[query + 2].joined);
            EXPECT_FALSE(rows[query + 3].joined);
        }
        EXPECT_EQ(table.contains("pooler.dense.weight"), needs_pooler(head));
        EXPECT_EQ(rows[table.index("embeddings.LayerNorm.weight")].initial, InitialValues::ones);
        EXPECT_EQ(rows[table.index("embeddings.LayerNorm.bias")].initial, InitialValues::zeros);
        EXPECT_EQ(rows[table.index("embeddings.word_embeddings.weight")].initial,
                  InitialValues::truncated_normal);
        EXPECT_THROW((void)table.index("encoder.layer.2.output.dense.weight"), Error);
    }
}

TEST(Parameters, OfTheMaskedLmDecoderAreSharedOnlyWhereTied) {
    Config config = small_config();
    const ParameterTable tied(config, Head::masked_lm);
    EXPECT_EQ(tied.index("cls.predictions.decoder.weight"), tied.index("embeddings.word_embeddings.weight"));
    EXPECT_EQ(tied.index("cls.predictions.decoder.bias"), tied.index("cls.predictions.bias"));
    EXPECT_EQ(tied.rows()[tied.index("cls.predictions.decoder.bias")].name, "cls.predictions.bias");
    config.tie_word_embeddings = false;
    const ParameterTable untied(config, Head::masked_lm);
    EXPECT_EQ(untied.elements(), tied.elements() + 10 * 8);
    const Parameter& weight = untied.rows()[untied.index("cls.predictions.decoder.weight")];
    EXPECT_EQ(weight.name, "cls.predictions.decoder.weight");
    EXPECT_TRUE(weight.decays);
    EXPECT_EQ(untied.rows()[untied.index("cls.predictions.bias")].name, "cls.predictions.decoder.bias");
    EXPECT_FALSE(ParameterTable(config, Head::none).contains("cls.predictions.decoder.weight"));
}

TEST(Parameters, OfBertBaseAreThoseOfThePaper) {
    // Counted by torch: sum(p.numel() for p in BertModel(BertConfig()).parameters()), BertForPreTraining
    // likewise.
    EXPECT_EQ(ParameterTable(config_of_shape("base"), Head::none, true).elements(), 109482240u);
    EXPECT_EQ(ParameterTable(config_of_shape("base"), Head::pretraining).elements(), 110106428u);
    EXPECT_EQ(ParameterTable(config_of_shape("large"), Head::none, true).elements(), 335141888u);
}

TEST(Parameters, AreFoundUnderOldAndPrefixedNames) {
    const TemporaryFolder folder;
    const ParameterTable table(small_config(), Head::masked_lm);
    std::vector<StoredTensor> tensors = tensors_of(table);
    for (StoredTensor& tensor : tensors) {
        std::string& name = tensor.name;
        if (name.starts_with("bert.")) name.erase(0, 5);
        if (name.ends_with("LayerNorm.weight")) name.replace(name.size() - 6, 6, "gamma");
        if (name.ends_with("LayerNorm.bias")) name.replace(name.size() - 4, 4, "beta");
        if (name == "cls.predictions.bias") name = "cls.predictions.decoder.bias";
        if (name == "embeddings.word_embeddings.weight") name = "cls.predictions.decoder.weight";
    }
    tensors.push_back({.name = "bert.embeddings.position_ids", .type = DataType::i64, .shape = {1, 6}});
    tensors.push_back({.name = "cls.seq_relationship.bias", .shape = {2}});
    const Checkpoint checkpoint = checkpoint_of(folder, tensors);
    const ParameterSources sources = match_parameters(table, checkpoint);
    for (size_t i = 0; i < table.rows().size(); ++i) EXPECT_EQ(sources.tensors[i]->name, tensors[i].name);
    EXPECT_EQ(sources.unused, std::vector<std::string>{"cls.seq_relationship.bias"});
}

TEST(Parameters, MissingOnesAreNamed) {
    const TemporaryFolder folder;
    const Config config = small_config();
    const ParameterTable encoder(config, Head::none);
    const Checkpoint checkpoint = checkpoint_of(folder, tensors_of(encoder));
    expect_error(ErrorCode::invalid_input,
                 "model.safetensors: lacks 2 of the model's tensors: 'qa_outputs.weight', 'qa_outputs.bias'",
                 [&] { match_parameters(ParameterTable(config, Head::question_answering), checkpoint); });
    const ParameterTable answering(config, Head::question_answering);
    const ParameterSources sources = match_parameters(answering, checkpoint, MissingHead::initialise);
    EXPECT_EQ(sources.tensors[answering.index("qa_outputs.weight")], nullptr);
    EXPECT_NE(sources.tensors[answering.index("encoder.layer.0.output.dense.bias")], nullptr);

    std::vector<StoredTensor> tensors = tensors_of(encoder);
    tensors.erase(tensors.begin() + 4, tensors.begin() + 10);
    const Checkpoint holes = checkpoint_of(folder, tensors);
    for (const MissingHead missing : {MissingHead::error, MissingHead::initialise})
        expect_error(ErrorCode::invalid_input,
                     "lacks 6 of the model's tensors: 'encoder.layer.0.attention.self.key.weight', ",
                     [&] { match_parameters(encoder, holes, missing); });
}

TEST(Parameters, WrongShapesAndTypesAreNamed) {
    const TemporaryFolder folder;
    const Config config = small_config();
    const ParameterTable table(config, Head::token_classification);
    const Checkpoint checkpoint = checkpoint_of(folder, tensors_of(table));
    Config other = config;
    other.vocab_size = 11;
    expect_error(ErrorCode::invalid_input,
                 "model.safetensors: tensor 'bert.embeddings.word_embeddings.weight' has shape [10, 8], but "
                 "config.json asks "
                 "for [11, 8] (vocab_size, hidden_size)",
                 [&] { match_parameters(ParameterTable(other, Head::token_classification), checkpoint); });
    other = config;
    other.labels = {"a", "b"};
    expect_error(ErrorCode::invalid_input,
                 "tensor 'classifier.weight' has shape [3, 8], but config.json asks for [2, 8]",
                 [&] { match_parameters(ParameterTable(other, Head::token_classification), checkpoint); });
    std::vector<StoredTensor> tensors = tensors_of(table);
    tensors[5].type = DataType::i32;
    const Checkpoint integers = checkpoint_of(folder, tensors);
    expect_error(ErrorCode::invalid_input,
                 fmt::format("tensor '{}' is I32, not floating-point", tensors[5].name),
                 [&] { match_parameters(table, integers); });
}

}  // namespace
}  // namespace vkbert
