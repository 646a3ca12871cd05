// Whole models against what PyTorch computes with them: every head of tests/golden/ (made by its
// generate.py), and the real checkpoints of VKBERT_TEST_DATA.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "bert/session.hpp"
#include "tests/golden_files.hpp"
#include "tests/op_test.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

/// Largest |difference| from the float64 reference allowed, as a part of the reference's largest value, or of
/// 4, the size of the hidden states that every output is computed from. fp32: 34 times its roundoff 2^-24;
/// lavapipe needs 10. fp16: 12 times its roundoff 2^-11, for four stored values a layer; lavapipe needs 5.
/// The root of the mean square must stay below a fifth of it.
double tolerance(Precision precision) {
    return precision == Precision::fp32 ? 2e-6 : 6e-3;
}

void expect_close(const vkbert::Matrix& actual, const GoldenTensor& expected, Precision precision,
                  const std::string& what) {
    ASSERT_EQ(actual.rows, expected.rows) << what;
    ASSERT_EQ(actual.columns, expected.columns) << what;
    double worst = 0, squares = 0, largest = 4;
    for (size_t i = 0; i < expected.values.size(); ++i) {
        const double difference = std::abs(double(actual.values[i]) - expected.values[i]);
        worst = difference <= worst ? worst : difference;  // NaN becomes the worst
        squares += difference * difference;
        largest = std::max(largest, std::abs(double(expected.values[i])));
    }
    const double mean = std::sqrt(squares / double(expected.values.size()));
    EXPECT_LE(worst, tolerance(precision) * largest) << what;
    EXPECT_LE(mean, tolerance(precision) * largest / 5) << what;
}

std::unique_ptr<Model> load(const Golden& golden, Precision precision, Head head, bool pooler = false) {
    ModelOptions options;
    options.precision = precision, options.head = head, options.pooler = pooler;
    return Model::load(device(), golden.config, golden.checkpoint, options);
}

/// Room for the golden batch with some to spare, so that capacities and counts differ.
SessionOptions room_for(const Batch& batch, Output output) {
    SessionOptions options;
    options.output = output;
    options.max_tokens = batch.tokens() + 9, options.max_sequences = batch.sequences() + 3;
    options.max_rows = batch.tokens() + 1;
    return options;
}

vkbert::Matrix run(Model& model, const SessionOptions& options, const Batch& batch) {
    Session session(model, options);
    session.set_input(batch);
    session.run();
    return session.read();
}

Batch with_all_rows(Batch batch) {
    for (uint32_t row = 0; row < batch.tokens(); ++row) batch.rows.push_back(row);
    return batch;
}

std::string folder_of(const std::string& name) {
    const char* source = std::getenv("VKBERT_SOURCE_DIR");
    return std::string(source ? source : ".") + "/tests/golden/" + name;
}

class GoldenTest : public testing::TestWithParam<std::tuple<const char*, Precision>> {
  protected:
    void SetUp() override {
        if (precision() == Precision::fp16 && !device().capabilities().storage_16bit)
            GTEST_SKIP() << device().capabilities().device_name << " has no 16-bit storage";
    }
    void TearDown() override { EXPECT_THAT(take_validation_messages(), testing::IsEmpty()); }
    Precision precision() const { return std::get<1>(GetParam()); }

    const Golden golden{folder_of(std::get<0>(GetParam()))};
};

TEST_P(GoldenTest, EveryHiddenState) {
    const auto model = load(golden, precision(), Head::none);
    SessionOptions options = room_for(golden.batch, Output::hidden_states);
    options.layers.clear();
    for (uint32_t layer = 0; layer <= golden.config.num_hidden_layers; ++layer)
        options.layers.push_back(int(layer));
    Session session(*model, options);
    session.set_input(golden.batch);
    session.run();
    ASSERT_EQ(session.results(), options.layers.size());
    for (size_t layer = 0; layer < options.layers.size(); ++layer) {
        const std::string name = "hidden." + std::to_string(layer);
        expect_close(session.read(layer), golden.expected(name), precision(), name);
    }
}

/// Variants that this device would not take by itself at these sizes; the rest run in the tests above, on
/// some device.
TEST_P(GoldenTest, HiddenStatesThroughEachVariantOfMatrixProducts) {
    const auto model = load(golden, precision(), Head::none);
    const std::string last = "hidden." + std::to_string(golden.config.num_hidden_layers);
    for (const char* op : {"matmul", "attention_forward"})
        for_each_variant(op, [&](const KernelChoices& choices) {
            const std::string& name = choices.at(op);
            if (!name.starts_with("matrix") && !name.starts_with("cpu_")) return;
            SessionOptions options = room_for(golden.batch, Output::hidden_states);
            options.kernels = choices;
            expect_close(run(*model, options, golden.batch), golden.expected(last), precision(), name);
        });
}

TEST_P(GoldenTest, SequencesOneByOneThroughOneSession) {
    const auto model = load(golden, precision(), Head::none);
    Session session(*model, room_for(golden.batch, Output::hidden_states));
    const GoldenTensor& last = golden.expected("hidden." + std::to_string(golden.config.num_hidden_layers));
    for (uint32_t s = 0; s < golden.batch.sequences(); ++s) {
        const uint32_t begin = golden.batch.offsets[s], count = golden.batch.offsets[s + 1] - begin;
        Batch one;
        one.add(std::span(golden.batch.ids).subspan(begin, count),
                std::span(golden.batch.types).subspan(begin, count));
        session.set_input(one);
        session.run();
        expect_close(session.read(), last.rows_at(begin, count), precision(),
                     "sequence " + std::to_string(s));
    }
}

TEST_P(GoldenTest, Pooler) {
    if (!golden.has("pooled")) {
        EXPECT_FALSE(has_pooler(golden.checkpoint));
        return;
    }
    const auto model = load(golden, precision(), Head::none, true);
    expect_close(run(*model, room_for(golden.batch, Output::pooler), golden.batch), golden.expected("pooled"),
                 precision(), "pooled");
}

TEST_P(GoldenTest, Logits) {
    const Head head = detect_head(golden.config, golden.checkpoint);
    if (head == Head::none) {
        EXPECT_FALSE(golden.has("logits") || golden.has("start_logits"));
        return;
    }
    const Batch batch = with_all_rows(golden.batch);
    const SessionOptions options = room_for(batch, Output::logits);
    if (head == Head::question_answering) {
        const vkbert::Matrix both = run(*load(golden, precision(), head), options, batch);
        expect_close(column(both, 0), golden.expected("start_logits"), precision(), "start_logits");
        expect_close(column(both, 1), golden.expected("end_logits"), precision(), "end_logits");
        return;
    }
    const Head main = head == Head::pretraining ? Head::masked_lm : head;
    expect_close(run(*load(golden, precision(), main), options, batch), golden.expected("logits"),
                 precision(), "logits");
    if (head == Head::pretraining)
        expect_close(run(*load(golden, precision(), Head::next_sentence), options, batch),
                     golden.expected("next_sentence_logits"), precision(), "next_sentence_logits");
}

TEST_P(GoldenTest, SentencePooling) {
    if (!golden.has("mean")) return;  // stored with `encoder` alone: EveryFolderIsTested counts it
    const auto model = load(golden, precision(), Head::none);
    SessionOptions options = room_for(golden.batch, Output::sentence);
    const auto compare = [&](ops::Pooling pooling, bool normalize, const GoldenTensor& expected,
                             const std::string& name) {
        options.pooling = pooling, options.normalize = normalize;
        expect_close(run(*model, options, golden.batch), expected, precision(), name);
    };
    compare(ops::Pooling::mean, false, golden.expected("mean"), "mean");
    compare(ops::Pooling::mean, true, golden.expected("mean_normalized"), "mean_normalized");
    compare(ops::Pooling::max, false, golden.expected("max"), "max");
    const GoldenTensor& last = golden.expected("hidden." + std::to_string(golden.config.num_hidden_layers));
    compare(ops::Pooling::first, false, last.rows_of(golden.batch.offsets), "first");
}

constexpr const char* folders[] = {
    "encoder",    "pretraining",          "masked_lm",          "next_sentence",  "classification",
    "regression", "token_classification", "question_answering", "multiple_choice"};

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         testing::Combine(testing::ValuesIn(folders),
                                          testing::Values(Precision::fp32, Precision::fp16)),
                         [](const auto& test) {
                             const bool full = std::get<1>(test.param) == Precision::fp32;
                             return std::string(std::get<0>(test.param)) + (full ? "_fp32" : "_fp16");
                         });

TEST(GoldenFiles, EveryFolderIsTested) {
    size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_of("")))
        found += entry.is_directory();
    EXPECT_EQ(found, std::size(folders));
    EXPECT_TRUE(Golden(folder_of("encoder")).has("mean"));
}

TEST(GoldenTopK, ProbabilitiesAndWordsOfMaskedPositions) {
    const Golden golden(folder_of("masked_lm"));
    const auto model = load(golden, Precision::fp32, Head::masked_lm);
    Batch batch = golden.batch;
    batch.rows = {0, 11, batch.tokens() - 1};
    SessionOptions options = room_for(batch, Output::top_k);
    options.top_k = 7;
    Session session(*model, options);
    session.set_input(batch);
    session.run();
    const vkbert::Matrix scores = session.read();
    const std::vector<uint32_t> ids = session.read_top_k_ids();
    for (uint32_t r = 0; r < batch.rows.size(); ++r) {
        const auto best = golden.expected("logits").softmax_descending(batch.rows[r]);
        for (uint32_t k = 0; k < options.top_k; ++k) {
            EXPECT_NEAR(scores.values[r * options.top_k + k], best[k].first, 1e-5)
                << "row " << r << ", place " << k;
            EXPECT_EQ(ids[r * options.top_k + k], best[k].second) << "row " << r << ", place " << k;
        }
    }
}

class RealCheckpoints : public testing::Test {
  protected:
    void SetUp() override {
        const char* data = std::getenv("VKBERT_TEST_DATA");
        if (!data || !std::filesystem::is_directory(std::filesystem::path(data) / "weights"))
            GTEST_SKIP() << "VKBERT_TEST_DATA has no weights/";
        weights = std::filesystem::path(data) / "weights";
    }
    std::filesystem::path weights;
};

/// A complete small checkpoint of transformers 4.8, as safetensors and as the pickle it was published as.
TEST_F(RealCheckpoints, CamphrTokenClassifier) {
    const std::filesystem::path folder = weights / "camphr-ner-bert";
    const nlohmann::json reference = read_json(folder / "derived_reference.json");
    const uint32_t real = 7;  // the reference's last token is masked out
    Batch batch;
    batch.add(std::vector<uint32_t>(reference["input_ids"].begin(), reference["input_ids"].begin() + real),
              std::vector<uint32_t>(reference["token_type_ids"].begin(),
                                    reference["token_type_ids"].begin() + real));
    for (const char* file : {"model.safetensors", "pytorch_model.bin"}) {
        SCOPED_TRACE(file);
        const Golden golden(read_config(folder), Checkpoint::open(folder / file));
        const auto model = load(golden, Precision::fp32, Head::token_classification);
        expect_close(run(*model, room_for(batch, Output::logits), batch),
                     matrix_of(reference["logits"]).rows_at(0, real), Precision::fp32, "logits");
        SessionOptions options = room_for(batch, Output::hidden_states);
        options.layers = {0, 1};
        Session session(*model, options);
        session.set_input(batch);
        session.run();
        expect_close(session.read(0), matrix_of(reference["embeddings"]).rows_at(0, real), Precision::fp32,
                     "embeddings");
        expect_close(session.read(1), matrix_of(reference["last_hidden_state"]).rows_at(0, real),
                     Precision::fp32, "last");
    }
}

/// Google's trained uncased_L-2_H-128_A-2, fine-tuned on SST-2, whose published form has no embeddings: it
/// starts from the embedding output of one sentence.
TEST_F(RealCheckpoints, BertTinySst2Encoder) {
    const std::filesystem::path folder = weights / "bert-tiny-sst2-encoder";
    const nlohmann::json sample = read_json(folder / "sample0.json");
    const nlohmann::json& reference = sample["derived_here_float64_true_layernorm"];
    Config config = config_of_shape("tiny");
    config.labels = {"LABEL_0", "LABEL_1"};
    const Checkpoint checkpoint = Checkpoint::open(folder);
    ModelOptions model_options;
    model_options.head = Head::sequence_classification, model_options.without_embeddings = true;
    const auto model = Model::load(device(), config, checkpoint, model_options);
    const GoldenTensor embeddings = matrix_of(sample["embeddings_output"]);
    Batch batch;
    batch.add(std::vector<uint32_t>(embeddings.rows, 0), std::vector<uint32_t>(embeddings.rows, 1));
    const auto compare = [&](Output output, const GoldenTensor& expected, const std::string& name) {
        SessionOptions options = room_for(batch, output);
        options.from_embeddings = true;
        Session session(*model, options);
        session.set_input(batch);
        session.set_embeddings(embeddings.values);
        session.run();
        expect_close(session.read(), expected, Precision::fp32, name);
    };
    compare(Output::hidden_states, matrix_of(reference["layer1_output"]), "last hidden state");
    compare(Output::pooler, matrix_of(nlohmann::json::array({reference["pooler"]})), "pooler");
    compare(Output::logits, matrix_of(nlohmann::json::array({reference["logits"]})), "logits");
}

}  // namespace
}  // namespace vkbert::test
