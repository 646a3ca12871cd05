#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_training.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

constexpr uint32_t loss_index = 2;

/// Scalars whose factor for the loss at loss_index is weight * scale.
std::vector<uint32_t> scalars_of(float weight, float scale) {
    TrainingScalars scalars = initial_training_scalars(scale);
    for (float& other : scalars.loss_weight) other = NAN;
    scalars.loss_weight[loss_index] = weight;
    std::vector<uint32_t> words(training_scalars_words);
    std::memcpy(words.data(), &scalars, sizeof scalars);
    return words;
}

struct Case {
    uint32_t rows, columns;
    std::vector<uint32_t> labels = {};
    bool in_place = false;
    uint32_t capacity = 0;  // rows are a run-time extent of this capacity
    uint32_t pitch = 0;
    double magnitude = 10;  // of the logits
    float weight = 0.25f, scale = 1024;
};

/// Errors of exponentials and logarithms are relative to the size of the logits, and grow with the sum.
double relative(const Case& c, uint32_t terms) {
    return roundoff(Type::fp32) * (16 * c.magnitude + 32 + std::sqrt(double(terms)));
}

/// Labels spread over the classes, every fifth row not counted.
std::vector<uint32_t> some_labels(uint32_t rows, uint32_t classes) {
    std::vector<uint32_t> labels(rows);
    for (uint32_t row = 0; row < rows; row++)
        labels[row] = row % 5 == 4 ? ops::ignored_label : (row * 7919 + 3) % classes;
    return labels;
}

void run_cross_entropy(Case c) {
    if (c.labels.empty()) c.labels = some_labels(c.rows, c.columns);
    SCOPED_TRACE(fmt::format("({},{}){}", c.rows, c.columns, c.in_place ? " in place" : ""));
    const Matrix logits = random_matrix(c.rows, c.columns, 1, Type::fp32, c.magnitude);
    const double factor = double(c.weight) * c.scale;
    const reference::Loss expected = reference::cross_entropy(logits, c.labels, factor);
    for_each_variant("cross_entropy", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = c.capacity != 0 ? run.rows(c.capacity, c.rows) : Extent(c.rows);
        const TensorLayout layout{.pitch = c.pitch, .rows = rows};
        const Tensor input =
            c.in_place ? run.in_out(logits, Type::fp32, layout) : run.input(logits, Type::fp32, layout);
        const Tensor gradient = c.in_place ? input : run.output(rows, c.columns);
        const Tensor loss = run.output(rows, 1), labels = run.input(c.labels, 1, {.rows = rows});
        ops::cross_entropy(run.plan(), "test", loss, gradient, input, labels,
                           run.input(scalars_of(c.weight, c.scale), training_scalars_words), loss_index);
        run.execute();
        const double error = relative(c, c.columns);
        expect_near(run.result(loss), expected.loss, [&](uint32_t row, uint32_t) {
            return expected.loss(row, 0) == 0 ? 0 : error * (1 + expected.loss(row, 0));
        });
        expect_near(run.result(gradient), expected.gradient, [&](uint32_t row, uint32_t column) {
            const double size = std::fabs(expected.gradient(row, column));
            const bool target = c.labels[row] == column;  // p - 1 errs as 1 does
            return size == 0 ? 0 : error * (size + (target ? factor : 0)) + 1e-35;
        });
    });
}

void run_segments(const std::vector<uint32_t>& lengths, uint32_t columns, bool in_place, uint32_t capacity) {
    SCOPED_TRACE(fmt::format("{} sequences, {} columns, capacity {}", lengths.size(), columns, capacity));
    std::vector<uint32_t> offsets{0}, labels;
    for (const uint32_t length : lengths) {
        offsets.push_back(offsets.back() + length);
        for (uint32_t c = 0; c < columns; c++)
            labels.push_back(offsets.size() % 4 == 0 ? length + c
                                                     : (length * 3 / 4 + c) % std::max(length, 1u));
    }
    const Case c{.rows = offsets.back(), .columns = columns};
    const Matrix logits = random_matrix(c.rows, columns, 1, Type::fp32, c.magnitude);
    const double factor = double(c.weight) * c.scale;
    const reference::Loss expected = reference::segment_cross_entropy(logits, offsets, labels, factor);
    for_each_variant("segment_cross_entropy", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const auto sequences = uint32_t(lengths.size());
        const bool symbols = capacity != 0;
        const Extent tokens = symbols ? run.rows(capacity, c.rows) : Extent(c.rows),
                     rows = symbols ? run.rows(capacity, sequences) : Extent(sequences),
                     bounds = symbols ? run.rows(capacity + 1, sequences + 1) : Extent(sequences + 1);
        const Tensor input = in_place ? run.in_out(logits, Type::fp32, {.rows = tokens})
                                      : run.input(logits, Type::fp32, {.rows = tokens});
        const Tensor gradient = in_place ? input : run.output(tokens, columns);
        const Tensor loss = run.output(rows, columns);
        ops::segment_cross_entropy(
            run.plan(), "test", loss, gradient, input, run.input(offsets, 1, {.rows = bounds}),
            run.input(labels, columns, {.rows = rows}),
            run.input(scalars_of(c.weight, c.scale), training_scalars_words), loss_index);
        run.execute();
        const double error = relative(c, c.rows);
        expect_near(run.result(loss), expected.loss, [&](uint32_t row, uint32_t column) {
            return expected.loss(row, column) == 0 ? 1e-6 : error * (1 + expected.loss(row, column));
        });
        expect_near(run.result(gradient), expected.gradient,
                    [&](uint32_t, uint32_t) { return error * factor; });
    });
}

}  // namespace

TEST(CrossEntropy, ReferenceIsTheGradient) {
    const std::vector<uint32_t> labels{3, ops::ignored_label, 0};
    const Matrix logits = random_matrix(3, 5, 1);
    const auto sum = [](const Matrix& m) {
        return reference::inner_product(m, Matrix(m.rows, m.columns, 1));
    };
    expect_near(
        reference::cross_entropy(logits, labels, 0.5).gradient,
        reference::finite_differences(
            logits, [&](const Matrix& m) { return 0.5 * sum(reference::cross_entropy(m, labels, 1).loss); }),
        [](uint32_t, uint32_t) { return 1e-9; });
    const std::vector<uint32_t> offsets{0, 2, 3}, starts_and_ends{1, 0, 0, 7};
    const Matrix lines = random_matrix(3, 2, 2);
    expect_near(reference::segment_cross_entropy(lines, offsets, starts_and_ends, 3).gradient,
                reference::finite_differences(
                    lines,
                    [&](const Matrix& m) {
                        return 3 * sum(reference::segment_cross_entropy(m, offsets, starts_and_ends, 1).loss);
                    }),
                [](uint32_t, uint32_t) { return 1e-8; });
    const Matrix targets = random_matrix(4, 1, 3), predictions = random_matrix(4, 1, 4);
    expect_near(
        reference::mean_squared_error(predictions, targets, 2).gradient,
        reference::finite_differences(
            predictions,
            [&](const Matrix& m) { return 2 * sum(reference::mean_squared_error(m, targets, 1).loss); }),
        [](uint32_t, uint32_t) { return 1e-8; });
}

TEST(CrossEntropy, Classes) {
    for (const uint32_t columns : {1u, 2u, 3u, 9u, 127u, 128u, 131u, 1009u})
        for (const bool in_place : {false, true})
            run_cross_entropy({.rows = 6, .columns = columns, .in_place = in_place});
}

TEST(CrossEntropy, Vocabularies) {
    run_cross_entropy({.rows = 3, .columns = 30522, .labels = {30521, 0, 17}, .in_place = true});
    run_cross_entropy({.rows = 2, .columns = ops::max_classes, .labels = {119999, ops::ignored_label}});
}

TEST(CrossEntropy, RunTimeRowsAndPitch) {
    run_cross_entropy({.rows = 7, .columns = 3, .capacity = 31});
    run_cross_entropy({.rows = 0, .columns = 3, .labels = {0}, .capacity = 31});
    run_cross_entropy({.rows = 5, .columns = 13, .pitch = 17});
}

TEST(CrossEntropy, LogitsFarApart) {
    run_cross_entropy({.rows = 11, .columns = 7, .magnitude = 1e6});
    run_cross_entropy({.rows = 11, .columns = 2, .magnitude = 1e-3});
}

TEST(CrossEntropy, LabelsOutsideTheClassesAreNotCounted) {
    run_cross_entropy({.rows = 3, .columns = 5, .labels = {5, 6, 0x80000000}});
}

TEST(SegmentCrossEntropy, Sequences) {
    run_segments({1}, 2, false, 0);
    run_segments({3, 1, 17, 64, 65, 131}, 2, false, 0);
    run_segments({3, 1, 17}, 1, true, 0);
    run_segments({384, 5}, 3, true, 0);
}

TEST(SegmentCrossEntropy, RunTimeSequences) {
    run_segments({5, 9, 2}, 2, true, 40);
}

TEST(MeanSquaredError, Rows) {
    for (const uint32_t rows : {1u, 63u, 65u, 131u})
        for (const bool run_time : {false, true})  // with gaps between predictions, too
            for_each_variant("mean_squared_error", [&](const KernelChoices& choices) {
                const Matrix predictions = random_matrix(rows, 1, 1, Type::fp32, 5),
                             targets = random_matrix(rows, 1, 2, Type::fp32, 5);
                const reference::Loss expected =
                    reference::mean_squared_error(predictions, targets, 0.125 * 3);
                OpRun run(choices);
                const Extent extent = run_time ? run.rows(200, rows) : Extent(rows);
                const uint32_t pitch = run_time ? 4 : 1;
                const Tensor loss = run.output(extent, 1),
                             gradient = run.output(extent, 1, Type::fp32, pitch);
                ops::mean_squared_error(run.plan(), "test", loss, gradient,
                                        run.input(predictions, Type::fp32, {.pitch = pitch, .rows = extent}),
                                        run.input(targets, Type::fp32, {.rows = extent}),
                                        run.input(scalars_of(0.125f, 3), training_scalars_words), loss_index);
                run.execute();
                const auto tolerance = [&](const Matrix& m) {
                    return [&m](uint32_t row, uint32_t) {
                        return 4 * roundoff(Type::fp32) * std::fabs(m(row, 0));
                    };
                };
                expect_near(run.result(loss), expected.loss, tolerance(expected.loss));
                expect_near(run.result(gradient), expected.gradient, tolerance(expected.gradient));
            });
}

TEST(Losses, RefuseShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor logits = plan.persistent("logits", 3, 5), loss = plan.persistent("loss", 3, 1),
                 labels = plan.persistent("labels", 3, 1, Type::uint32),
                 scalars = plan.persistent("scalars", 1, training_scalars_words, Type::uint32),
                 wide = plan.persistent("wide", 3, ops::max_classes + 1);
    EXPECT_NO_THROW(ops::cross_entropy(plan, "test", loss, logits, logits, labels, scalars));
    EXPECT_THROW(ops::cross_entropy(plan, "test", loss, wide, wide, labels, scalars), Error);
    EXPECT_THROW(ops::cross_entropy(plan, "test", loss, logits, logits, loss, scalars), Error);
    EXPECT_THROW(ops::cross_entropy(plan, "test", loss, logits, logits, labels, labels), Error);
    EXPECT_THROW(ops::cross_entropy(plan, "test", loss, logits, logits, labels, scalars, 4), Error);
    EXPECT_THROW(ops::segment_cross_entropy(plan, "test", loss, loss, loss, labels, labels, scalars), Error);
    EXPECT_THROW(ops::mean_squared_error(plan, "test", loss, loss, loss, logits, scalars), Error);
}
