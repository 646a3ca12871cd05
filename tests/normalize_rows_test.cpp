#include <gtest/gtest.h>

#include <cmath>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

void run_case(Matrix values, bool in_place, uint32_t capacity = 0) {
    SCOPED_TRACE(fmt::format("({},{}){}", values.rows, values.columns, in_place ? " in place" : ""));
    const Matrix expected = reference::normalize_rows(values);
    for_each_variant("normalize_rows", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = capacity != 0 ? run.rows(capacity, values.rows) : Extent(values.rows);
        const Tensor input = in_place ? run.in_out(values, Type::fp32, {.rows = rows})
                                      : run.input(values, Type::fp32, {.rows = rows});
        const Tensor output = in_place ? input : run.output(rows, values.columns);
        ops::normalize_rows(run.plan(), "test", output, input);
        run.execute();
        expect_near(run.result(output), expected, [&](uint32_t row, uint32_t column) {
            return 16 * roundoff(Type::fp32) * std::fabs(expected(row, column));
        });
    });
}

}  // namespace

TEST(NormalizeRows, Widths) {
    for (const uint32_t columns : {4u, 28u, 128u, 260u, 384u, 1024u}) {
        run_case(random_matrix(5, columns, 1), false);
        run_case(random_matrix(5, columns, 1), true);
    }
}

TEST(NormalizeRows, ZerosStayZeros) {
    Matrix values = random_matrix(3, 16, 1);
    for (uint32_t c = 0; c < 16; c++) values(1, c) = 0;
    run_case(values, false);
}

TEST(NormalizeRows, RunTimeRows) {
    run_case(random_matrix(3, 64, 1), false, 7);
    run_case(Matrix(0, 64), false, 7);
}
