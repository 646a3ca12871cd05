#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_training.hpp"

using namespace vkbert;
using namespace vkbert::test;
using reference::OptimizerGroup;

namespace {

std::vector<uint32_t> words_of(const TrainingScalars& scalars) {
    std::vector<uint32_t> words(training_scalars_words);
    std::memcpy(words.data(), &scalars, sizeof scalars);
    return words;
}

TrainingScalars scalars_of(const std::vector<uint32_t>& words) {
    TrainingScalars scalars;
    std::memcpy(&scalars, words.data(), sizeof scalars);
    return scalars;
}

/// Groups of parameters, the scalars, and how to run one step over them on the device.
struct Optimizer {
    std::vector<OptimizerGroup> groups;
    TrainingScalars scalars = initial_training_scalars();
    KernelChoices choices = {};
    bool halves = false;
    uint64_t range = 0;          // max_storage_buffer_range, when not the device's
    size_t dispatches_made = 0;  // by the last step

    /// One step with gradients as they come, scaled.
    void step(const std::vector<Matrix>& gradients);
};

void Optimizer::step(const std::vector<Matrix>& gradients) {
    Capabilities capabilities = device().capabilities();
    if (range != 0) capabilities.max_storage_buffer_range = range;
    OpRun run(choices, capabilities);
    const Tensor scalar_tensor = run.in_out(words_of(scalars), training_scalars_words);
    struct Tensors {
        Tensor weights, first_moment, second_moment, copy;
    };
    std::vector<Tensors> tensors;
    std::vector<Tensor> gradient_tensors;
    for (size_t i = 0; i < groups.size(); i++) {
        const OptimizerGroup& g = groups[i];
        tensors.push_back({run.in_out(g.weights), run.in_out(g.first_moment), run.in_out(g.second_moment),
                           halves ? run.in_out(rounded(g.weights, Type::fp16), Type::fp16) : Tensor{}});
        gradient_tensors.push_back(run.in_out(gradients[i]));
    }
    ops::gradient_norm(run.plan(), "norm", scalar_tensor, gradient_tensors);
    for (size_t i = 0; i < groups.size(); i++)
        ops::adamw(run.plan(), "adamw", tensors[i].weights, gradient_tensors[i], tensors[i].first_moment,
                   tensors[i].second_moment, scalar_tensor,
                   {.learning_rate_factor = float(groups[i].learning_rate_factor),
                    .decays = groups[i].decays,
                    .weights_fp16 = halves ? &tensors[i].copy : nullptr});
    dispatches_made = run.plan().dispatches().size();
    run.execute();
    scalars = scalars_of(run.result_integers(scalar_tensor));
    for (size_t i = 0; i < groups.size(); i++) {
        OptimizerGroup& g = groups[i];
        g.weights = run.result(tensors[i].weights);
        g.first_moment = run.result(tensors[i].first_moment);
        g.second_moment = run.result(tensors[i].second_moment);
        EXPECT_EQ(run.result(gradient_tensors[i]).values, Matrix(1, g.weights.columns).values);
        if (!halves) continue;
        EXPECT_EQ(run.result(tensors[i].copy).values, rounded(g.weights, Type::fp16).values);
    }
}

Optimizer random_optimizer(const std::vector<uint32_t>& sizes, KernelChoices choices = {}) {
    Optimizer optimizer;
    optimizer.choices = std::move(choices);
    for (const uint32_t size : sizes) {
        const auto index = uint64_t(optimizer.groups.size());
        OptimizerGroup group{.weights = random_matrix(1, size, 10 + index),
                             .first_moment = random_matrix(1, size, 20 + index, Type::fp32, 0.1),
                             .second_moment = random_matrix(1, size, 30 + index, Type::fp32, 0.01),
                             .decays = index % 2 == 0};
        for (double& v : group.second_moment.values) v = std::fabs(v);
        optimizer.groups.push_back(std::move(group));
    }
    optimizer.scalars.learning_rate = 0.01f;
    optimizer.scalars.applied_steps = 7;
    optimizer.scalars.unit1 = float(1 - std::pow(0.9, 7));
    optimizer.scalars.unit2 = float(1 - std::pow(0.999, 7));
    return optimizer;
}

std::vector<Matrix> random_gradients(const Optimizer& optimizer, uint64_t seed, double magnitude = 1) {
    std::vector<Matrix> gradients;
    for (const OptimizerGroup& group : optimizer.groups)
        gradients.push_back(random_matrix(1, group.weights.columns, seed++, Type::fp32, magnitude));
    return gradients;
}

/// One step on the device and one of the reference.
void expect_step(Optimizer& optimizer, const std::vector<Matrix>& gradients) {
    std::vector<OptimizerGroup> expected = optimizer.groups;
    const TrainingScalars before = optimizer.scalars;
    const double norm = reference::optimizer_step(before, expected, gradients);
    optimizer.step(gradients);
    EXPECT_EQ(optimizer.scalars.overflow, 0u);
    EXPECT_EQ(optimizer.scalars.applied_steps, before.applied_steps + 1);
    EXPECT_NEAR(optimizer.scalars.gradient_norm, norm, 32 * roundoff(Type::fp32) * norm);
    for (size_t i = 0; i < expected.size(); i++) {
        const double rate = before.learning_rate * expected[i].learning_rate_factor;
        const auto relative_to = [&](const Matrix& m, double size) {
            return [&m, size](uint32_t, uint32_t c) {
                return 64 * roundoff(Type::fp32) * (std::fabs(m(0, c)) + size);
            };
        };
        expect_near(optimizer.groups[i].first_moment, expected[i].first_moment,
                    relative_to(expected[i].first_moment, 0.1));
        expect_near(optimizer.groups[i].second_moment, expected[i].second_moment,
                    relative_to(expected[i].second_moment, 0));
        expect_near(optimizer.groups[i].weights, expected[i].weights, [&](uint32_t, uint32_t c) {
            const double moved = std::fabs(expected[i].first_moment(0, c)) /
                                 (std::sqrt(expected[i].second_moment(0, c)) + double(before.epsilon)) / 0.1;
            return 2 * roundoff(Type::fp32) * std::fabs(expected[i].weights(0, c)) +
                   64 * roundoff(Type::fp32) * rate * (moved + 1);
        });
    }
}

void for_each_optimizer_variant(const std::function<void(const KernelChoices&)>& body) {
    for (const char* op : {"gradient_norm", "gradient_norm_finish", "adamw"}) for_each_variant(op, body);
}

nlohmann::json golden() {
    const char* root = std::getenv("VKBERT_SOURCE_DIR");
    std::ifstream file(std::filesystem::path(root != nullptr ? root : ".") / "tests/golden/optimizer.json");
    return nlohmann::json::parse(file);
}

Matrix row_of(const nlohmann::json& values, double scale = 1) {
    Matrix matrix(1, uint32_t(values.size()));
    for (uint32_t c = 0; c < matrix.columns; c++)
        matrix(0, c) = values[c].is_null() ? INFINITY : values[c].get<double>() * scale;
    return matrix;
}

}  // namespace

TEST(Optimizer, TwentyStepsAsPyTorch) {
    const nlohmann::json expected = golden();
    for_each_variant("adamw", [&](const KernelChoices& choices) {
        Optimizer optimizer;
        optimizer.choices = choices;
        optimizer.scalars = initial_training_scalars(1024);
        optimizer.scalars.weight_decay = expected["weight_decay"].get<float>();
        optimizer.scalars.growth_interval = 4;
        for (const nlohmann::json& start : expected["start"]) {
            const Matrix weights = row_of(start), zeros(1, weights.columns);
            optimizer.groups.push_back({weights, zeros, zeros, 1, optimizer.groups.empty()});
        }
        uint32_t applied = 0, skipped = 0;
        for (const nlohmann::json& step : expected["steps"]) {
            optimizer.scalars.learning_rate = step["learning_rate"].get<float>();
            EXPECT_EQ(optimizer.scalars.loss_scale, step["loss_scale"].get<float>());
            std::vector<Matrix> gradients;
            for (const nlohmann::json& gradient : step["gradients"])
                gradients.push_back(row_of(gradient, optimizer.scalars.loss_scale));
            optimizer.step(gradients);
            const bool overflow = step["norm"].is_null();
            (overflow ? skipped : applied)++;
            EXPECT_EQ(optimizer.scalars.overflow, uint32_t(overflow));
            EXPECT_EQ(optimizer.scalars.applied_steps, applied);
            EXPECT_EQ(optimizer.scalars.skipped_steps, skipped);
            EXPECT_EQ(optimizer.scalars.loss_scale, step["next_loss_scale"].get<float>());
            const double norm = overflow ? INFINITY : step["norm"].get<double>();
            const double norm_error = overflow ? 0 : 16 * roundoff(Type::fp32) * norm;
            EXPECT_TRUE(overflow || std::fabs(optimizer.scalars.gradient_norm - norm) <= norm_error);
            for (size_t i = 0; i < optimizer.groups.size(); i++)
                expect_near(optimizer.groups[i].weights, row_of(step["weights"][i]),
                            [&](uint32_t, uint32_t) { return 5e-7; });
        }
        EXPECT_EQ(skipped, 3u);
    });
}

TEST(Optimizer, SizesOfEveryVariant) {
    for_each_optimizer_variant([](const KernelChoices& choices) {
        for (const std::vector<uint32_t>& sizes :
             {std::vector<uint32_t>{4}, {4 * 31, 4, 4 * 127}, {16384}, {16388, 4 * 4099}}) {
            SCOPED_TRACE(fmt::format("{} parameters first", sizes[0]));
            Optimizer optimizer = random_optimizer(sizes, choices);
            expect_step(optimizer, random_gradients(optimizer, 50));
        }
    });
}

TEST(Optimizer, PapersBertAdam) {
    Optimizer optimizer = random_optimizer({4 * 37, 4 * 11});
    optimizer.scalars.bias_correction = 0;
    optimizer.scalars.epsilon = 1e-6f;
    for (uint64_t step = 0; step < 3; step++) expect_step(optimizer, random_gradients(optimizer, 60 + step));
}

TEST(Optimizer, ClipsLargeGradientsAlone) {
    Optimizer optimizer = random_optimizer({4 * 37});
    expect_step(optimizer, random_gradients(optimizer, 1, 1e4));
    EXPECT_LT(optimizer.scalars.gradient_factor, 1e-4f);
    expect_step(optimizer, random_gradients(optimizer, 1, 1e-4));
    EXPECT_EQ(optimizer.scalars.gradient_factor, 1.0f);
    optimizer.scalars.max_gradient_norm = 0;
    expect_step(optimizer, random_gradients(optimizer, 1, 1e4));
    EXPECT_EQ(optimizer.scalars.gradient_factor, 1.0f);
}

TEST(Optimizer, GroupsHaveTheirOwnLearningRateAndHalves) {
    Optimizer optimizer = random_optimizer({4 * 37, 4 * 5, 4 * 3});
    optimizer.groups[1].learning_rate_factor = 0.25;
    optimizer.groups[2].learning_rate_factor = 0;
    optimizer.halves = true;
    const Matrix frozen = optimizer.groups[2].weights;
    expect_step(optimizer, random_gradients(optimizer, 70));
    EXPECT_EQ(optimizer.groups[2].weights.values, frozen.values);
}

TEST(Optimizer, RangesThatCannotBeBoundWhole) {
    Optimizer optimizer = random_optimizer({4 * 1009, 4 * 3});
    optimizer.range = 4096;
    optimizer.halves = true;
    expect_step(optimizer, random_gradients(optimizer, 80));
    EXPECT_EQ(optimizer.dispatches_made, 4u + 1 + 1 + 4 + 1);
}

TEST(Optimizer, OverflowSkipsTheStepAndHalvesTheScale) {
    for_each_optimizer_variant([](const KernelChoices& choices) {
        for (const double bad : {double(INFINITY), -double(INFINITY), double(NAN), 1e30})
            for (const uint32_t place : {0u, 16389u}) {
                Optimizer optimizer = random_optimizer({4 * 4099, 8}, choices);
                optimizer.scalars.loss_scale = 0.5f;
                optimizer.scalars.growth_interval = 2000;
                optimizer.scalars.good_steps = 5;
                const Optimizer before = optimizer;
                std::vector<Matrix> gradients = random_gradients(optimizer, 90);
                gradients[0](0, place) = bad;
                optimizer.step(gradients);
                EXPECT_EQ(optimizer.scalars.overflow, 1u) << bad << " at " << place;
                EXPECT_EQ(optimizer.scalars.loss_scale, 0.25f);
                EXPECT_EQ(optimizer.scalars.good_steps, 0u);
                EXPECT_EQ(optimizer.scalars.skipped_steps, 1u);
                EXPECT_EQ(optimizer.scalars.applied_steps, before.scalars.applied_steps);
                for (size_t i = 0; i < optimizer.groups.size(); i++) {
                    EXPECT_EQ(optimizer.groups[i].weights.values, before.groups[i].weights.values);
                    EXPECT_EQ(optimizer.groups[i].second_moment.values,
                              before.groups[i].second_moment.values);
                }
            }
    });
}

TEST(Optimizer, RefusesShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor flat = plan.persistent("flat", 1, 64), odd = plan.persistent("odd", 1, 63),
                 half = plan.persistent("half", 1, 64, Type::fp16),
                 scalars = plan.persistent("scalars", 1, training_scalars_words, Type::uint32);
    EXPECT_NO_THROW(ops::gradient_norm(plan, "test", scalars, {flat}));
    EXPECT_THROW(ops::gradient_norm(plan, "test", scalars, {}), Error);
    EXPECT_THROW(ops::gradient_norm(plan, "test", scalars, {odd}), Error);
    EXPECT_THROW(ops::gradient_norm(plan, "test", flat, {flat}), Error);
    EXPECT_NO_THROW(ops::adamw(plan, "test", flat, flat, flat, flat, scalars, {.weights_fp16 = &half}));
    EXPECT_THROW(ops::adamw(plan, "test", flat, odd, flat, flat, scalars), Error);
    EXPECT_THROW(ops::adamw(plan, "test", flat, flat, flat, flat, scalars, {.weights_fp16 = &flat}), Error);
}
