#include <gtest/gtest.h>

#include <cmath>

#include "runtime/ops/common.hpp"
#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

/// What rounding of the input's statistics, of the arithmetic and of the result can do to gamma * n + beta.
double tolerance(const reference::LayerNorm& expected, const Matrix& x, const Matrix& gamma,
                 const Matrix& beta, uint32_t row, uint32_t column, Type type) {
    double largest = 0;
    for (uint32_t c = 0; c < x.columns; c++) largest = std::max(largest, std::fabs(x(row, c)));
    const double normalized = (std::fabs(x(row, column)) + largest) * expected.rstd(row, 0);
    const double size = std::fabs(gamma(0, column)) * normalized + std::fabs(beta(0, column));
    return 8 * roundoff(Type::fp32) * size + roundoff(type) * std::fabs(expected.output(row, column));
}

struct Case {
    uint32_t rows, columns;
    Type type = Type::fp32;
    double offset = 0;  // added to every element
    uint32_t pitch = 0;
    uint32_t capacity = 0;  // rows are a run-time extent of this capacity
    bool keep = false;
};

/// The results of all variants.
std::vector<Matrix> results_of(const Case& c) {
    SCOPED_TRACE(fmt::format("({},{}) {} offset {} capacity {}", c.rows, c.columns, name_of(c.type), c.offset,
                             c.capacity));
    Matrix x = random_matrix(c.rows, c.columns, 1, c.type, 2);
    for (double& value : x.values) value = rounded(value + c.offset, c.type);
    const Matrix gamma = random_matrix(1, c.columns, 2), beta = random_matrix(1, c.columns, 3);
    const float epsilon = 1e-12f;
    const reference::LayerNorm expected = reference::layernorm(x, gamma, beta, epsilon);
    std::vector<Matrix> results;
    for_each_variant("layernorm_forward", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = c.capacity != 0 ? run.rows(c.capacity, c.rows) : Extent(c.rows);
        const Tensor input = run.input(x, c.type, {.pitch = c.pitch, .rows = rows});
        const Tensor output = run.output(rows, c.columns, c.type, c.pitch);
        Tensor mean, rstd;
        ops::LayerNormOptions options{.epsilon = epsilon};
        if (c.keep)
            options.mean = &(mean = run.output(rows, 1)), options.rstd = &(rstd = run.output(rows, 1));
        ops::layernorm_forward(run.plan(), "test", output, input, run.input(gamma), run.input(beta), options);
        run.execute();
        results.push_back(run.result(output));
        expect_near(results.back(), expected.output, [&](uint32_t row, uint32_t column) {
            return tolerance(expected, x, gamma, beta, row, column, c.type);
        });
        if (!c.keep) return;
        expect_near(run.result(mean), expected.mean,
                    [&](uint32_t, uint32_t) { return 8 * roundoff(Type::fp32) * (2 + std::fabs(c.offset)); });
        expect_near(run.result(rstd), expected.rstd, [&](uint32_t row, uint32_t) {
            return 8 * roundoff(Type::fp32) * (2 + std::fabs(c.offset)) * expected.rstd(row, 0);
        });
    });
    return results;
}

/// As given, and in a longer batch, where CPU drivers have another form of the same sums: the same bits.
void run_case(const Case& c) {
    Case in_long_batch = c;
    in_long_batch.capacity = std::max(c.rows, ops::short_batch + 1);
    const std::vector<Matrix> results = results_of(c);
    // SwiftShader's texel buffers hold 64 rows of 4096 columns.
    if (uint64_t(in_long_batch.capacity) * c.columns / 4 > device().capabilities().max_texel_elements) return;
    const std::vector<Matrix> of_long = results_of(in_long_batch);
    ASSERT_EQ(results.size(), of_long.size());
    for (size_t i = 0; i < results.size(); i++) EXPECT_EQ(results[i].values, of_long[i].values);
}

}  // namespace

TEST(LayerNorm, WidthsOfRealModelsAndOddOnes) {
    for (const uint32_t columns : {4u, 16u, 28u, 128u, 252u, 256u, 260u, 312u, 384u, 768u, 1024u, 4096u})
        run_case({.rows = 3, .columns = columns});
    for (const uint32_t columns : {16u, 28u, 384u})
        run_case({.rows = 3, .columns = columns, .type = Type::fp16});
}

TEST(LayerNorm, NumbersOfRows) {
    for (const uint32_t rows : {1u, 2u, 7u, 8u, 9u, 131u}) run_case({.rows = rows, .columns = 128});
}

TEST(LayerNorm, VarianceIsTakenAboutTheMean) {
    run_case({.rows = 5, .columns = 768, .offset = 1000});
}

TEST(LayerNorm, KeepsStatistics) {
    run_case({.rows = 17, .columns = 384, .keep = true});
    run_case({.rows = 5, .columns = 128, .type = Type::fp16, .keep = true});
}

TEST(LayerNorm, RunTimeRowsAndPitch) {
    run_case({.rows = 5, .columns = 64, .capacity = 9, .keep = true});
    run_case({.rows = 0, .columns = 64, .capacity = 9});
    run_case({.rows = 5, .columns = 64, .pitch = 72});
    run_case({.rows = 5, .columns = 64, .type = Type::fp16, .pitch = 72, .capacity = 6});
}

TEST(LayerNorm, InPlace) {
    for (const uint32_t rows : {7u, ops::short_batch + 1}) {
        const Matrix x = random_matrix(rows, 384, 1), gamma = random_matrix(1, 384, 2),
                     beta = random_matrix(1, 384, 3);
        const reference::LayerNorm expected = reference::layernorm(x, gamma, beta, 1e-5);
        for_each_variant("layernorm_forward", [&](const KernelChoices& choices) {
            OpRun run(choices);
            const Tensor tensor = run.in_out(x);
            ops::layernorm_forward(run.plan(), "test", tensor, tensor, run.input(gamma), run.input(beta),
                                   {.epsilon = 1e-5f});
            run.execute();
            expect_near(run.result(tensor), expected.output, [&](uint32_t row, uint32_t column) {
                return tolerance(expected, x, gamma, beta, row, column, Type::fp32);
            });
        });
    }
}

/// The variant for rows of so many columns on Mesa 26's CPU driver with 8 lanes.
std::string_view chosen(uint32_t columns) {
    Capabilities c = device().capabilities();
    c.device_class = DeviceClass::cpu;
    c.subgroup_basic = c.subgroup_arithmetic = true;
    c.subgroup_size = c.min_subgroup_size = c.max_subgroup_size = 8;
    c.buffer_device_address = c.int64 = c.scalar_pointer_loads = c.fast_buffer_loads = c.folds_constants =
        true;
    Plan plan(c);
    const Tensor x = plan.persistent("x", 3, columns), vector = plan.persistent("vector", 1, columns);
    ops::layernorm_forward(plan, "test", x, x, vector, vector);
    return plan.dispatches().front().kernel->name;
}

TEST(LayerNorm, WholeVectorsWhereRowsAreWholeBlocksAndShort) {
    EXPECT_EQ(chosen(768), "wide8");
    EXPECT_EQ(chosen(1536), "wide8");
    EXPECT_EQ(chosen(1568), "lanes8") << "49 steps";
    EXPECT_EQ(chosen(400), "wide4") << "whole blocks of 4 lanes alone";
    EXPECT_EQ(chosen(772), "lanes8");
}

TEST(LayerNorm, RefusesShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor x = plan.persistent("x", 3, 64), narrow = plan.persistent("narrow", 3, 60),
                 vector = plan.persistent("vector", 1, 64), odd = plan.persistent("odd", 3, 62);
    EXPECT_THROW(ops::layernorm_forward(plan, "test", narrow, x, vector, vector), Error);
    EXPECT_THROW(ops::layernorm_forward(plan, "test", x, x, x, vector), Error);
    EXPECT_THROW(ops::layernorm_forward(plan, "test", odd, odd, vector, vector), Error);
    EXPECT_THROW(
        ops::layernorm_forward(plan, "test", x, x, vector, vector, {.epsilon = 1e-12f, .mean = &vector}),
        Error);
}
