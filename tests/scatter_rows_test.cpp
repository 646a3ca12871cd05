#include <gtest/gtest.h>

#include "runtime/error.hpp"
#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_backward.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

const std::vector<uint32_t> places{49, 0, 7, 3, 12};

/// `count` rows go to the first of `places` among `rows`.
void run_case(uint32_t count, uint32_t rows, uint32_t columns, Type from, Type to, bool run_time = false,
              uint32_t pitch = 0) {
    SCOPED_TRACE(fmt::format("{} of {} rows of {}, {} to {}{}", count, rows, columns, name_of(from),
                             name_of(to), run_time ? ", run-time" : ""));
    const std::vector<uint32_t> at(places.begin(), places.begin() + count);
    const Matrix values = random_matrix(count, columns, 1, from);
    const Matrix expected = rounded(reference::scatter(values, at, rows), to);
    OpRun run;
    const Extent some = run_time ? run.rows(8, count) : Extent(count);
    const Extent all = run_time ? run.rows(70, rows) : Extent(rows);
    const Tensor input = run.input(values, from, {.rows = some}), list = run.input(at, 1, {.rows = some});
    const Tensor output = run.output(all, columns, to, pitch);
    ops::scatter_rows(run.plan(), "test", output, input, list);
    run.execute();
    expect_near(run.result(output), expected, [](uint32_t, uint32_t) { return 0; });
}

TEST(ScatterRows, PlacesRowsAmongZeros) {
    for (const uint32_t columns : {4u, 60u, 384u}) {
        run_case(5, 50, columns, Type::fp32, Type::fp32);
        run_case(5, 50, columns, Type::fp16, Type::fp16);
        run_case(5, 50, columns, Type::fp32, Type::fp16);
    }
}

TEST(ScatterRows, RunTimeRowsAndPitch) {
    run_case(3, 50, 12, Type::fp32, Type::fp32, true);
    run_case(0, 50, 12, Type::fp16, Type::fp16, true);
    run_case(0, 0, 12, Type::fp32, Type::fp32, true);
    run_case(5, 50, 12, Type::fp16, Type::fp16, false, 20);
}

TEST(ScatterRows, IsTheTransposeOfGather) {
    // <gather(x), y> = <x, scatter(y)>
    const Matrix x = random_matrix(50, 8, 1), y = random_matrix(5, 8, 2);
    const Matrix gathered = reference::gather(x, places), scattered = reference::scatter(y, places, 50);
    double left = 0, right = 0;
    for (size_t i = 0; i < y.values.size(); i++) left += gathered.values[i] * y.values[i];
    for (size_t i = 0; i < x.values.size(); i++) right += x.values[i] * scattered.values[i];
    EXPECT_NEAR(left, right, 1e-12);
}

TEST(ScatterRows, RejectsWrongShapes) {
    OpRun run;
    const Tensor input = run.input(Matrix(3, 8)), half = run.input(Matrix(3, 8), Type::fp16);
    const Tensor list = run.input(std::vector<uint32_t>{0, 1, 2}), output = run.output(9, 8);
    EXPECT_THROW(ops::scatter_rows(run.plan(), "test", run.output(9, 12), input, list), Error);
    EXPECT_THROW(ops::scatter_rows(run.plan(), "test", output, half, list), Error);
    EXPECT_THROW(ops::scatter_rows(run.plan(), "test", output, input, run.input(std::vector<uint32_t>{0, 1})),
                 Error);
}

TEST(Fill, WordsOfEveryType) {
    constexpr uint32_t one = 0x3f800000, halves = 0x40003c00;  // 1.0f; 1 and 2 as fp16
    for (const uint32_t columns : {1u, 3u, 8u, 515u}) {
        OpRun run;
        const Tensor single = run.output(5, columns), pairs = run.output(3, 2 * columns, Type::fp16);
        const Tensor apart = run.output(3, columns, Type::fp32, columns + 4);
        const Extent some = run.rows(9, 4);
        const Tensor integers = run.output(some, columns, Type::uint32);
        ops::fill(run.plan(), "single", single, one);
        ops::fill(run.plan(), "pairs", pairs, halves);
        ops::fill(run.plan(), "apart", apart, one);
        ops::fill(run.plan(), "integers", integers, 7);
        run.execute();
        const auto exact = [](uint32_t, uint32_t) { return 0; };
        expect_near(run.result(single), Matrix(5, columns, 1), exact);
        expect_near(run.result(apart), Matrix(3, columns, 1), exact);
        Matrix alternating(3, 2 * columns, 1);
        for (size_t i = 1; i < alternating.values.size(); i += 2) alternating.values[i] = 2;
        expect_near(run.result(pairs), alternating, exact);
        EXPECT_EQ(run.result_integers(integers), std::vector<uint32_t>(4 * size_t(columns), 7));
    }
}

/// What is too large for one binding or one dispatch goes in blocks of rows, or of columns.
TEST(Fill, Blocks) {
    const auto dispatches = [](uint32_t rows, uint32_t columns) {
        Capabilities capabilities = device().capabilities();
        capabilities.max_storage_buffer_range = 4096;
        OpRun run({}, capabilities);
        const Tensor tensor = run.output(rows, columns);
        ops::fill(run.plan(), "test", tensor, 0);
        const size_t count = run.plan().dispatches().size();
        run.execute();
        expect_near(run.result(tensor), Matrix(rows, columns), [](uint32_t, uint32_t) { return 0; });
        return count;
    };
    EXPECT_EQ(dispatches(1, 1024), 1u);
    EXPECT_EQ(dispatches(1, 2100), 3u);
    EXPECT_EQ(dispatches(600, 4), 3u);
}

TEST(Fill, RejectsHalfWords) {
    OpRun run;
    EXPECT_THROW(ops::fill(run.plan(), "test", run.output(2, 3, Type::fp16), 0), Error);
}

}  // namespace
