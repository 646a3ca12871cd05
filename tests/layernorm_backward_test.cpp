#include <gtest/gtest.h>

#include <cmath>

#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_training.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

constexpr double epsilon = 1e-12;

struct Case {
    uint32_t rows, columns;
    Type type = Type::fp32;
    bool residual = false, in_place = false;
    uint32_t pitch = 0;
    uint32_t capacity = 0;  // rows are a run-time extent of this capacity
    bool together = false;  // d_beta follows d_gamma, as in a model's gradients
};

struct Problem {
    explicit Problem(const Case& c)
        : x(random_matrix(c.rows, c.columns, 1, c.type, 2)),
          d_y(random_matrix(c.rows, c.columns, 2, c.type)),
          added(random_matrix(c.rows, c.columns, 3, c.type)),
          gamma(random_matrix(1, c.columns, 4)),
          d_gamma(random_matrix(1, c.columns, 5)),
          d_beta(random_matrix(1, c.columns, 6)),
          statistics(reference::layernorm(x, gamma, gamma, epsilon)),
          expected(reference::layernorm_backward(d_y, x, gamma, epsilon)) {
        statistics.mean = rounded(statistics.mean, Type::fp32);
        statistics.rstd = rounded(statistics.rstd, Type::fp32);
        if (c.residual) expected.d_x = reference::add(expected.d_x, added);
        expected.d_gamma = reference::add(expected.d_gamma, d_gamma);
        expected.d_beta = reference::add(expected.d_beta, d_beta);
    }
    Matrix x, d_y, added, gamma, d_gamma, d_beta;
    reference::LayerNorm statistics;
    reference::LayerNormGradients expected;
};

/// Runs the op with the variants chosen and compares.
void run_problem(const Case& c, const Problem& problem, const KernelChoices& choices) {
    OpRun run(choices);
    const Extent rows = c.capacity != 0 ? run.rows(c.capacity, c.rows) : Extent(c.rows);
    const TensorLayout layout{.pitch = c.pitch, .rows = rows};
    const Tensor x = run.input(problem.x, c.type, layout);
    const Tensor d_y =
        c.in_place ? run.in_out(problem.d_y, c.type, layout) : run.input(problem.d_y, c.type, layout);
    const Tensor residual = run.input(problem.added, c.type, layout);
    const Tensor d_x = c.in_place ? d_y : run.output(rows, c.columns, c.type, c.pitch);
    Tensor d_gamma, d_beta;
    if (c.together) {
        Matrix both(1, 2 * c.columns);
        for (uint32_t i = 0; i < c.columns; i++)
            both(0, i) = problem.d_gamma(0, i), both(0, c.columns + i) = problem.d_beta(0, i);
        const Tensor tensor = run.in_out(both);
        d_gamma = tensor.columns_at(0, c.columns), d_beta = tensor.columns_at(c.columns, c.columns);
    } else {
        d_gamma = run.in_out(problem.d_gamma), d_beta = run.in_out(problem.d_beta);
    }
    ops::layernorm_backward(run.plan(), "test", d_x, d_gamma, d_beta, d_y, x, run.input(problem.gamma),
                            run.input(problem.statistics.mean, Type::fp32, {.rows = rows}),
                            run.input(problem.statistics.rstd, Type::fp32, {.rows = rows}),
                            c.residual ? &residual : nullptr);
    run.execute();
    // A normalized element errs by a few roundings of its row's largest element, 2 here, times rstd; |d_y|
    // and |gamma| are at most 1.
    const auto normalized = [&](uint32_t row) { return 1 + 4 * problem.statistics.rstd(row, 0); };
    expect_near(run.result(d_x), problem.expected.d_x, [&](uint32_t row, uint32_t column) {
        const double rstd = problem.statistics.rstd(row, 0), n = normalized(row);
        return 12 * roundoff(Type::fp32) * (rstd * (2 + n * n) + 1) +
               roundoff(c.type) * std::fabs(problem.expected.d_x(row, column));
    });
    double terms = 1;  // of the sums over rows: what each can be
    for (uint32_t row = 0; row < c.rows; row++) terms += normalized(row);
    const auto tolerance = [&](uint32_t, uint32_t) {
        return (8 + std::sqrt(double(c.rows))) * roundoff(Type::fp32) * terms;
    };
    expect_near(run.result(d_gamma), problem.expected.d_gamma, tolerance);
    expect_near(run.result(d_beta), problem.expected.d_beta, tolerance);
}

void run_case(const Case& c) {
    SCOPED_TRACE(fmt::format("({},{}) {} residual {} in place {} capacity {}", c.rows, c.columns,
                             name_of(c.type), c.residual, c.in_place, c.capacity));
    const Problem problem(c);
    for (const char* op : {"layernorm_backward", "layernorm_backward_columns"})
        for_each_variant(op, [&](const KernelChoices& choices) { run_problem(c, problem, choices); });
}

}  // namespace

TEST(LayerNormBackward, ReferenceIsTheGradient) {
    const Matrix x = random_matrix(3, 7, 1), d_y = random_matrix(3, 7, 2), gamma = random_matrix(1, 7, 3),
                 beta = random_matrix(1, 7, 4);
    const reference::LayerNormGradients found = reference::layernorm_backward(d_y, x, gamma, 1e-5);
    const auto loss = [&](const Matrix& x_, const Matrix& gamma_, const Matrix& beta_) {
        return reference::inner_product(d_y, reference::layernorm(x_, gamma_, beta_, 1e-5).output);
    };
    const auto tolerance = [](uint32_t, uint32_t) { return 1e-7; };
    expect_near(found.d_x,
                reference::finite_differences(x, [&](const Matrix& m) { return loss(m, gamma, beta); }),
                tolerance);
    expect_near(found.d_gamma,
                reference::finite_differences(gamma, [&](const Matrix& m) { return loss(x, m, beta); }),
                tolerance);
    expect_near(found.d_beta,
                reference::finite_differences(beta, [&](const Matrix& m) { return loss(x, gamma, m); }),
                tolerance);
}

TEST(LayerNormBackward, WidthsOfRealModelsAndOddOnes) {
    for (const uint32_t columns : {4u, 28u, 252u, 260u, 312u, 384u, 768u, 4096u})
        run_case({.rows = 3, .columns = columns});
    for (const uint32_t columns : {28u, 384u}) run_case({.rows = 3, .columns = columns, .type = Type::fp16});
    for (const uint32_t columns : {64u, 192u, 320u})
        run_case({.rows = 70, .columns = columns, .together = true});
}

TEST(LayerNormBackward, NumbersOfRows) {
    for (const uint32_t rows : {1u, 2u, 31u, 32u, 33u, 131u})
        run_case({.rows = rows, .columns = 68, .residual = rows % 2 == 1});
    run_case({.rows = 67, .columns = 68, .type = Type::fp16, .residual = true});
}

TEST(LayerNormBackward, ManyRowsMakeLargerBlocks) {
    run_case({.rows = 32 * 256 + 7, .columns = 4, .capacity = 32 * 257});
}

TEST(LayerNormBackward, RunTimeRowsAndPitch) {
    run_case({.rows = 37, .columns = 64, .residual = true, .capacity = 90});
    run_case({.rows = 301, .columns = 64, .capacity = 1000});  // blocks of 124 rows on two processors
    run_case({.rows = 0, .columns = 64, .capacity = 9});
    run_case({.rows = 5, .columns = 64, .residual = true, .pitch = 72});
    run_case({.rows = 5, .columns = 64, .type = Type::fp16, .pitch = 72, .capacity = 6});
}

TEST(LayerNormBackward, InPlace) {
    run_case({.rows = 35, .columns = 384, .in_place = true});
    run_case({.rows = 5, .columns = 64, .type = Type::fp16, .residual = true, .in_place = true});
}

TEST(LayerNormBackward, RefusesShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor x = plan.persistent("x", 3, 64), narrow = plan.persistent("narrow", 3, 60),
                 vector = plan.persistent("vector", 1, 64), column = plan.persistent("column", 3, 1);
    const auto append = [&](const Tensor& d_x, const Tensor& d_gamma, const Tensor& mean) {
        ops::layernorm_backward(plan, "test", d_x, d_gamma, vector, x, x, vector, mean, column);
    };
    EXPECT_NO_THROW(append(x, vector, column));
    EXPECT_THROW(append(narrow, vector, column), Error);
    EXPECT_THROW(append(x, x, column), Error);
    EXPECT_THROW(append(x, vector, vector), Error);
}
