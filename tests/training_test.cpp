// Gradients of whole models against PyTorch's autograd: gradients.safetensors of tests/golden/ (made by its
// generate_gradients.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "bert/optimizer.hpp"
#include "bert/training_pass.hpp"
#include "runtime/error.hpp"
#include "tests/golden_files.hpp"
#include "tests/op_test.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

std::filesystem::path folder_of(const std::string& name) {
    const char* source = std::getenv("VKBERT_SOURCE_DIR");
    return std::filesystem::path(source ? source : ".") / "tests/golden" / name;
}

/// A golden model, the labels that its gradients are of, and the gradients.
struct GoldenGradients {
    explicit GoldenGradients(const std::string& name)
        : golden(folder_of(name)), gradients(Checkpoint::open(folder_of(name) / "gradients.safetensors")) {
        const Head head = detect_head(golden.config, golden.checkpoint);
        examples.batch = golden.batch;
        for (uint32_t s = 0; s < golden.batch.sequences(); ++s) examples.examples.push_back(s);
        if (gradients.find("targets")) {
            examples.values = floats("targets");
            return;
        }
        const std::vector<uint32_t> labels = integers("labels");
        if (head == Head::token_classification) {
            examples.token_labels = labels;
        } else if (head == Head::masked_lm) {
            examples.masked_words = labels;
            examples.batch.rows = integers("rows");
        } else if (head == Head::question_answering) {
            for (size_t i = 0; i < labels.size(); i += 2) {
                examples.span_starts.push_back(labels[i]);
                examples.span_ends.push_back(labels[i + 1]);
            }
        } else {
            examples.classes = labels;
        }
        if (head == Head::multiple_choice) {
            examples.sequence_offsets = integers("questions");
            examples.examples = {0, 1};
        }
    }

    std::vector<float> floats(const std::string& name) const {
        const StoredTensor& tensor = *gradients.find(name);
        std::vector<float> values(tensor.elements());
        gradients.read(tensor, 0, values);
        return values;
    }
    std::vector<uint32_t> integers(const std::string& name) const {
        std::vector<uint32_t> values;  // -1 becomes ignored_label
        for (const float value : floats(name)) values.push_back(uint32_t(int32_t(value)));
        return values;
    }

    Golden golden;
    Checkpoint gradients;
    PackedExamples examples;
};

/// Labels that count.
size_t counted(const PackedExamples& e) {
    const auto labels = [](const std::vector<uint32_t>& all) {
        return all.size() - size_t(std::ranges::count(all, ignored_label));
    };
    return e.values.size() + labels(e.classes) + labels(e.token_labels) + labels(e.masked_words) +
           labels(e.span_starts) + labels(e.span_ends);
}

/// A model, its gradients and one pass.
struct Trained {
    Trained(const GoldenGradients& g, Precision precision, TrainingPassOptions options = {})
        : scale(precision == Precision::fp16 ? 4096 : 1) {
        ModelOptions model_options;
        model_options.precision = precision;
        model_options.head = detect_head(g.golden.config, g.golden.checkpoint);
        model = Model::load(device(), g.golden.config, g.golden.checkpoint, model_options);
        gradients = std::make_unique<WeightArena>(*model);
        scalars = std::make_unique<ScalarsBuffer>(device());
        scalars->host().loss_weight[0] = scale / float(counted(g.examples));
        scalars->flush();
        options.max_tokens = g.examples.batch.tokens() + 9;
        options.max_sequences = g.examples.batch.sequences() + 2;
        pass = std::make_unique<TrainingPass>(*model, *gradients, scalars->range(), options);
    }
    double run(const PackedExamples& examples, const DropoutState& dropout = {}) {
        pass->set_input(examples, dropout);
        pass->wait(pass->submit());
        return pass->loss_sum() / double(counted(examples));
    }
    std::vector<float> gradient(size_t row) {
        const Model::Place& place = model->place(row);
        std::vector<float> values(model->parameters().rows()[row].elements());
        download(device(), gradients->range(place.weight), place.first * sizeof(float),
                 std::as_writable_bytes(std::span(values)));
        for (float& value : values) value /= scale;
        return values;
    }
    std::vector<std::vector<float>> all_gradients() {
        std::vector<std::vector<float>> all;
        for (size_t row = 0; row < model->parameters().rows().size(); ++row) all.push_back(gradient(row));
        return all;
    }
    const float scale;  // of the loss: small gradients have few bits in fp16
    std::unique_ptr<Model> model;
    std::unique_ptr<WeightArena> gradients;
    std::unique_ptr<ScalarsBuffer> scalars;
    std::unique_ptr<TrainingPass> pass;
};

double largest(const std::vector<float>& values) {
    double result = 0;
    for (const float value : values) result = std::max(result, std::abs(double(value)));
    return result;
}

/// `tolerance` times the largest element of each gradient. Gradients of some biases are zero but for
/// rounding, since what is added to all logits of a softmax moves nothing (a key's bias, or that of an
/// answer's logits): they are measured by the gradient of the matrix or gamma that the bias belongs to.
void expect_gradients(Trained& trained, const GoldenGradients& expected, double tolerance) {
    const auto& rows = trained.model->parameters().rows();
    double overall = 0;
    for (const Parameter& row : rows) overall = std::max(overall, largest(expected.floats("d " + row.name)));
    for (size_t i = 0; i < rows.size(); ++i) {
        const std::vector<float> e = expected.floats("d " + rows[i].name), a = trained.gradient(i);
        ASSERT_EQ(a.size(), e.size()) << rows[i].name;
        double worst = 0;
        for (size_t j = 0; j < e.size(); ++j) {
            const double difference = std::abs(double(a[j]) - e[j]);
            worst = difference <= worst ? worst : difference;  // NaN becomes the worst
        }
        double scale = largest(e);
        if (scale < 1e-12 * overall && rows[i].name.ends_with(".bias"))
            scale =
                largest(expected.floats("d " + rows[i].name.substr(0, rows[i].name.size() - 4) + "weight"));
        EXPECT_LE(worst, tolerance * scale) << rows[i].name;
    }
}

class GradientTest : public testing::TestWithParam<const char*> {
  protected:
    void TearDown() override { EXPECT_THAT(take_validation_messages(), testing::IsEmpty()); }
};

TEST_P(GradientTest, EqualAutograd) {
    const GoldenGradients golden(GetParam());
    Trained trained(golden, Precision::fp32);
    EXPECT_NEAR(trained.run(golden.examples), golden.floats("loss")[0], 1e-5);
    expect_gradients(trained, golden, 1e-4);
}

/// Variants that this device would not take by itself at these sizes. In fp16 activations and their gradients
/// are stored with 11 bits: 32 of their roundoffs, of which lavapipe needs 21. ReLU's derivative jumps where
/// a rounded activation is near zero.
TEST_P(GradientTest, EqualAutogradThroughEachVariantOfMatrixProducts) {
    const GoldenGradients golden(GetParam());
    const bool jumps = golden.golden.config.hidden_act == "relu";
    for (const char* op : {"matmul", "attention_forward", "attention_backward"})
        for_each_variant(op, [&](const KernelChoices& choices) {
            const std::string& name = choices.at(op);
            if (!name.starts_with("matrix") && !name.starts_with("cpu_")) return;
            TrainingPassOptions options;
            options.kernels = choices;
            for (const Precision precision : {Precision::fp32, Precision::fp16}) {
                if (precision == Precision::fp16 && (!device().capabilities().storage_16bit || jumps))
                    continue;
                const double tolerance = precision == Precision::fp32 ? 1e-4 : 32 * 0x1p-11;
                Trained trained(golden, precision, options);
                EXPECT_NEAR(trained.run(golden.examples), golden.floats("loss")[0], tolerance);
                expect_gradients(trained, golden, tolerance);
            }
        });
}

TEST_P(GradientTest, RecomputedAreTheSameBits) {
    const GoldenGradients golden(GetParam());
    TrainingPassOptions options;
    options.hidden_dropout = options.attention_dropout = options.classifier_dropout = 0.2f;
    Trained kept(golden, Precision::fp32, options);
    options.recompute = true;
    Trained recomputed(golden, Precision::fp32, options);
    const DropoutState dropout{.seed = 5, .step = 3};
    EXPECT_EQ(kept.run(golden.examples, dropout), recomputed.run(golden.examples, dropout));
    EXPECT_EQ(kept.all_gradients(), recomputed.all_gradients());
    EXPECT_LE(recomputed.pass->plan().arena_bytes(), kept.pass->plan().arena_bytes());
}

INSTANTIATE_TEST_SUITE_P(Models, GradientTest,
                         testing::Values("classification", "regression", "token_classification",
                                         "question_answering", "multiple_choice", "next_sentence",
                                         "masked_lm"),
                         [](const auto& each) { return std::string(each.param); });

TEST(TrainingPass, AddsToGradients) {
    const GoldenGradients golden("classification");
    Trained trained(golden, Precision::fp32);
    trained.run(golden.examples);
    const auto once = trained.all_gradients();
    trained.run(golden.examples);
    const auto twice = trained.all_gradients();
    for (size_t i = 0; i < once.size(); ++i)
        for (size_t j = 0; j < once[i].size(); ++j)
            ASSERT_NEAR(twice[i][j], 2 * once[i][j], 1e-6 * largest(once[i])) << i << " " << j;
}

TEST(TrainingPass, DropoutChangesWithSeedAndStep) {
    const GoldenGradients golden("classification");
    TrainingPassOptions options;
    options.hidden_dropout = options.attention_dropout = 0.1f;
    Trained trained(golden, Precision::fp32, options);
    const double first = trained.run(golden.examples, {1, 1});
    EXPECT_EQ(trained.run(golden.examples, {1, 1}), first);
    EXPECT_NE(trained.run(golden.examples, {1, 2}), first);
    EXPECT_NE(trained.run(golden.examples, {2, 1}), first);
}

TEST(TrainingPass, FrozenLayersHaveNoGradients) {
    const GoldenGradients golden("classification");
    TrainingPassOptions options;
    options.frozen = 2;  // the embeddings and layer 0
    Trained trained(golden, Precision::fp32, options);
    trained.run(golden.examples);
    const auto& rows = trained.model->parameters().rows();
    for (size_t i = 0; i < rows.size(); ++i) {
        const bool frozen = rows[i].name.find("embeddings.") != std::string::npos ||
                            rows[i].name.find("layer.0.") != std::string::npos;
        EXPECT_EQ(largest(trained.gradient(i)) == 0, frozen) << rows[i].name;
    }
}

TEST(TrainingPass, RefusesAModelForInference) {
    ModelOptions options;
    options.for_inference = true;
    const auto model = Model::random(device(), config_of_shape("tiny"), 1, options);
    EXPECT_THROW(WeightArena gradients(*model), Error);
}

TEST(TrainingPass, RefusesWrongLabels) {
    GoldenGradients golden("classification");
    Trained trained(golden, Precision::fp32);
    golden.examples.classes.back() = 3;
    EXPECT_THROW(trained.pass->set_input(golden.examples, {}), Error);
    golden.examples.classes.pop_back();
    EXPECT_THROW(trained.pass->set_input(golden.examples, {}), Error);
}

}  // namespace
}  // namespace vkbert::test
