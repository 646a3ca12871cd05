#include <gtest/gtest.h>

#include <cmath>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

void run_case(const Matrix& values, bool in_place, uint32_t capacity = 0) {
    SCOPED_TRACE(fmt::format("({},{}){}", values.rows, values.columns, in_place ? " in place" : ""));
    const Matrix expected = reference::softmax(values);
    double largest = 0;  // |logit|: the error of its exponential is relative to that
    for (const double value : values.values) largest = std::max(largest, std::fabs(value));
    for_each_variant("softmax_forward", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = capacity != 0 ? run.rows(capacity, values.rows) : Extent(values.rows);
        const Tensor input = in_place ? run.in_out(values, Type::fp32, {.rows = rows})
                                      : run.input(values, Type::fp32, {.rows = rows});
        const Tensor output = in_place ? input : run.output(rows, values.columns);
        ops::softmax_forward(run.plan(), "test", output, input);
        run.execute();
        expect_near(run.result(output), expected, [&](uint32_t row, uint32_t column) {
            return 8 * roundoff(Type::fp32) * (2 * largest + 16) * expected(row, column) + 1e-37;
        });
    });
}

}  // namespace

TEST(Softmax, Widths) {
    for (const uint32_t columns : {1u, 2u, 3u, 5u, 9u, 127u, 128u, 129u, 1000u}) {
        run_case(random_matrix(3, columns, 1, Type::fp32, 10), false);
        run_case(random_matrix(3, columns, 1, Type::fp32, 10), true);
    }
}

TEST(Softmax, Vocabularies) {
    run_case(random_matrix(2, 30522, 1, Type::fp32, 20), false);
    run_case(random_matrix(1, 250002, 1, Type::fp32, 20), false);
}

TEST(Softmax, ScoresFarApart) {
    Matrix values(2, 7, -1e30);
    values(0, 3) = 1e30;
    values(1, 0) = values(1, 6) = -5;
    run_case(values, false);
}

TEST(Softmax, RunTimeRows) {
    run_case(random_matrix(3, 33, 1), false, 8);
    run_case(Matrix(0, 33), false, 8);
}
