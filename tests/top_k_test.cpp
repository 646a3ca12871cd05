#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

/// Columns of a row in the order of top_k.
std::vector<uint32_t> sorted_columns(const Matrix& values, uint32_t row) {
    std::vector<uint32_t> order(values.columns);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        const double x = values(row, a), y = values(row, b);
        return std::isnan(y) ? !std::isnan(x) : x > y;
    });
    return order;
}

void run_case(const Matrix& values, uint32_t k, uint32_t capacity = 0) {
    SCOPED_TRACE(fmt::format("{} of ({},{})", k, values.rows, values.columns));
    std::vector<uint32_t> expected;
    for (uint32_t row = 0; row < values.rows; row++) {
        const std::vector<uint32_t> order = sorted_columns(values, row);
        expected.insert(expected.end(), order.begin(), order.begin() + k);
    }
    for_each_variant("top_k", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = capacity != 0 ? run.rows(capacity, values.rows) : Extent(values.rows);
        const Tensor input = run.input(values, Type::fp32, {.rows = rows});
        const Tensor best = run.output(rows, k), indices = run.output(rows, k, Type::uint32);
        ops::top_k(run.plan(), "test", best, indices, input);
        run.execute();
        ASSERT_EQ(run.result_integers(indices), expected);
        const Matrix found = run.result(best);
        for (uint32_t row = 0; row < values.rows; row++)
            for (uint32_t i = 0; i < k; i++) {
                const double value = values(row, expected[size_t(row) * k + i]);
                EXPECT_TRUE(found(row, i) == value || (std::isnan(value) && std::isnan(found(row, i))));
            }
    });
}

}  // namespace

TEST(TopK, Sizes) {
    run_case(random_matrix(3, 1, 1), 1);
    run_case(random_matrix(3, 5, 1), 5);
    run_case(random_matrix(3, 127, 1), 7);
    run_case(random_matrix(2, 128, 1), 128);
    run_case(random_matrix(2, 1009, 1), 13);
}

TEST(TopK, Vocabularies) {
    run_case(random_matrix(2, 30522, 1), 5);
    run_case(random_matrix(1, 30522, 1), 128);
    run_case(random_matrix(1, 250002, 1), 10);
}

TEST(TopK, TiesGoToTheLowerIndex) {
    Matrix values(2, 500, 1);
    for (uint32_t c = 0; c < 500; c += 3) values(1, c) = 2;
    run_case(values, 128);
    values(0, 100) = -0.0;
    run_case(Matrix(1, 300, -0.0), 20);
}

TEST(TopK, NanLastAndInfinitiesInOrder) {
    Matrix values = random_matrix(2, 40, 1);
    for (const uint32_t c : {0u, 7u, 39u}) values(0, c) = NAN;
    values(0, 5) = INFINITY;
    values(0, 6) = -INFINITY;
    for (uint32_t c = 0; c < 40; c++) values(1, c) = NAN;
    run_case(values, 40);
}

TEST(TopK, RunTimeRows) {
    run_case(random_matrix(2, 33, 1), 3, 8);
    run_case(Matrix(0, 33), 3, 8);
}
