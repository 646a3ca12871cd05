#include <gtest/gtest.h>

#include <cmath>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

void run_case(const Matrix& values, Type from, const Capabilities& capabilities, uint32_t pitch = 0,
              uint32_t capacity = 0) {
    const Type to = from == Type::fp32 ? Type::fp16 : Type::fp32;
    SCOPED_TRACE(fmt::format("({},{}) {} to {}", values.rows, values.columns, name_of(from), name_of(to)));
    for_each_variant("cast", [&](const KernelChoices& choices) {
        OpRun run(choices, capabilities);
        const Extent rows = capacity != 0 ? run.rows(capacity, values.rows) : Extent(values.rows);
        const Tensor input = run.input(values, from, {.pitch = pitch, .rows = rows});
        const Tensor output = run.output(rows, values.columns, to);
        ops::cast(run.plan(), "test", output, input);
        run.execute();
        expect_near(run.result(output), rounded(values, Type::fp16), [](uint32_t, uint32_t) { return 0; });
    });
}

}  // namespace

TEST(Cast, RoundsToNearestEven) {
    Matrix values = random_matrix(37, 68, 1, Type::fp32, 3);
    // Halfway cases, the largest half, denormal halves, and zero.
    const double special[] = {1 + 0x1p-11, 1 + 3 * 0x1p-11, -1 - 0x1p-11, 65504, -65504,
                              0x1p-24,     0x1p-14,         3 * 0x1p-25,  0};
    std::copy(std::begin(special), std::end(special), values.values.begin());
    run_case(values, Type::fp32, device().capabilities());
    run_case(values, Type::fp32, device().capabilities(), 72, 40);
}

TEST(Cast, WidensExactly) {
    run_case(random_matrix(5, 12, 2, Type::fp16, 100), Type::fp16, device().capabilities());
    run_case(random_matrix(129, 260, 2, Type::fp16, 100), Type::fp16, device().capabilities(), 272);
}

TEST(Cast, BlocksOfTensorsThatCannotBeBoundWhole) {
    Capabilities small = device().capabilities();
    small.max_storage_buffer_range = 100000;
    run_case(random_matrix(1000, 64, 3), Type::fp32, small);
    run_case(random_matrix(1000, 64, 3, Type::fp16), Type::fp16, small);
    small = device().capabilities();
    small.max_workgroup_count[1] = 300;
    run_case(random_matrix(1000, 16, 3), Type::fp32, small);
}
