#include <gtest/gtest.h>

#include <cmath>

#include "runtime/error.hpp"
#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_backward.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

void run_case(uint32_t rows, uint32_t columns, Type type, bool accumulate, uint32_t capacity = 0,
              uint32_t extra_pitch = 0) {
    SCOPED_TRACE(fmt::format("({},{}) {}{} capacity {} pitch +{}", rows, columns, name_of(type),
                             accumulate ? " accumulate" : "", capacity, extra_pitch));
    const Matrix values = random_matrix(rows, columns, 1, type), before = random_matrix(1, columns, 2);
    Matrix expected = reference::column_sums(values), magnitude = values;
    for (double& value : magnitude.values) value = std::fabs(value);
    magnitude = reference::column_sums(magnitude);
    if (accumulate) expected = reference::add(expected, before);
    for_each_variant("column_sums", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent extent = capacity != 0 ? run.rows(capacity, rows) : Extent(rows);
        const Tensor input =
            run.input(values, type, {.pitch = (columns + 3) / 4 * 4 + extra_pitch, .rows = extent});
        const Tensor sums = accumulate ? run.in_out(before) : run.output(1, columns);
        ops::column_sums(run.plan(), "test", sums, input, accumulate);
        run.execute();
        expect_near(run.result(sums), expected, [&](uint32_t, uint32_t column) {
            return (std::sqrt(double(rows)) + 4) * roundoff(Type::fp32) *
                   (magnitude(0, column) + std::fabs(before(0, column)));
        });
    });
}

TEST(ColumnSums, Shapes) {
    for (const Type type : {Type::fp32, Type::fp16})
        for (const bool accumulate : {false, true}) {
            run_case(1, 1, type, accumulate);
            run_case(7, 2, type, accumulate);
            run_case(64, 13, type, accumulate);
            run_case(65, 384, type, accumulate);
            run_case(333, 260, type, accumulate);
            run_case(2500, 31, type, accumulate);
            run_case(70, 36, type, accumulate, 0, 8);
        }
}

TEST(ColumnSums, RunTimeRows) {
    for (const uint32_t rows : {0u, 1u, 31u, 32u, 100u, 299u, 300u}) {
        run_case(rows, 44, Type::fp32, true, 300);
        run_case(rows, 9, Type::fp16, false, 300);
    }
    run_case(0, 5, Type::fp32, false, 9);
    run_case(9, 5, Type::fp32, true, 9);
}

TEST(ColumnSums, RejectsWrongShapes) {
    OpRun run;
    const Tensor input = run.input(Matrix(3, 8)), odd = run.input(Matrix(3, 7));
    EXPECT_THROW(ops::column_sums(run.plan(), "test", run.output(1, 7), input), Error);
    EXPECT_THROW(ops::column_sums(run.plan(), "test", run.output(3, 8), input), Error);
    EXPECT_THROW(ops::column_sums(run.plan(), "test", run.output(1, 8, Type::fp16), input), Error);
    EXPECT_THROW(ops::column_sums(run.plan(), "test", run.output(1, 7), odd), Error);
}

}  // namespace
