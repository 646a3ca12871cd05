#include <gtest/gtest.h>

#include "runtime/error.hpp"
#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

/// input(rows,columns) into columns [0, rows) of an output with a pitch of rows rounded up to 4, plus extra.
void run_case(uint32_t rows, uint32_t columns, Type type, uint32_t capacity = 0, uint32_t extra_pitch = 0) {
    SCOPED_TRACE(
        fmt::format("({},{}) {} capacity {} pitch +{}", rows, columns, name_of(type), capacity, extra_pitch));
    const Matrix values = random_matrix(rows, columns, 1, type);
    const uint32_t whole = (rows + 3) / 4 * 4, most = capacity != 0 ? capacity : whole;
    Matrix expected(columns, whole);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t column = 0; column < columns; column++) expected(column, row) = values(row, column);
    OpRun run;
    const Extent extent = capacity != 0 ? run.rows(capacity, rows) : Extent(rows);
    const Tensor input =
        run.input(values, type, {.pitch = (columns + 3) / 4 * 4 + extra_pitch, .rows = extent});
    const Tensor output = run.output(columns, most, type, (most + 3) / 4 * 4 + extra_pitch);
    ops::transpose(run.plan(), "test", output, input);
    run.execute();
    const Matrix actual = run.result(output);
    Matrix written(columns, whole);  // what lies beyond is not the op's
    for (uint32_t row = 0; row < columns; row++)
        for (uint32_t column = 0; column < whole; column++) written(row, column) = actual(row, column);
    expect_near(written, expected, [](uint32_t, uint32_t) { return 0; });
}

TEST(Transpose, Shapes) {
    for (const Type type : {Type::fp32, Type::fp16}) {
        run_case(1, 1, type);
        run_case(3, 5, type);
        run_case(64, 32, type);
        run_case(67, 100, type);
        run_case(130, 61, type, 0, 8);
    }
}

TEST(Transpose, RunTimeRows) {
    for (const uint32_t rows : {0u, 1u, 63u, 65u, 100u}) {
        run_case(rows, 37, Type::fp32, 100);
        run_case(rows, 12, Type::fp16, 100);
    }
}

TEST(Transpose, RejectsWrongShapes) {
    OpRun run;
    const Tensor input = run.input(Matrix(12, 8));
    EXPECT_THROW(ops::transpose(run.plan(), "test", run.output(7, 12), input), Error);
    EXPECT_THROW(ops::transpose(run.plan(), "test", run.output(8, 8), input), Error);
    EXPECT_THROW(ops::transpose(run.plan(), "test", run.output(8, 12, Type::fp16), input), Error);
    EXPECT_THROW(ops::transpose(run.plan(), "test", run.output(8, 12), run.input(Matrix(12, 7))), Error);
}

}  // namespace
