#include <gtest/gtest.h>

#include <cmath>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

void run_case(const std::vector<uint32_t>& offsets, uint32_t columns, ops::Pooling pooling, Type type,
              uint32_t spare = 0) {
    const auto sequences = uint32_t(offsets.size() - 1);
    SCOPED_TRACE(fmt::format("{} sequences, {} columns, pooling {}, {}", sequences, columns,
                             uint32_t(pooling), name_of(type)));
    const Matrix values = random_matrix(offsets.back(), columns, 1, type);
    const Matrix expected = reference::pool(values, offsets, pooling);
    for_each_variant("pool_forward", [&](const KernelChoices& choices) {
        OpRun run(choices);
        Extent rows = offsets.back(), groups = sequences, boundaries = sequences + 1;
        if (spare != 0) {
            rows = run.rows(offsets.back() + spare, offsets.back());
            groups = run.rows(sequences + spare, sequences);
            boundaries = run.rows(sequences + spare + 1, sequences + 1);
        }
        const Tensor input = run.input(values, type, {.rows = rows});
        const Tensor list = run.input(offsets, 1, {.rows = boundaries});
        const Tensor output = run.output(groups, columns);
        ops::pool_forward(run.plan(), "test", output, input, list, pooling);
        run.execute();
        expect_near(run.result(output), expected, [&](uint32_t, uint32_t) {
            return pooling == ops::Pooling::mean ? roundoff(Type::fp32) * (offsets.back() + 2) : 0;
        });
    });
}

}  // namespace

TEST(Pool, MeanMaxAndFirst) {
    for (const ops::Pooling pooling : {ops::Pooling::mean, ops::Pooling::max, ops::Pooling::first})
        for (const Type type : {Type::fp32, Type::fp16}) {
            run_case({0, 1, 8, 8, 131}, 384, pooling, type);  // the third has no rows
            run_case({0, 17}, 4, pooling, type);
            run_case({0, 2, 5}, 260, pooling, type);
        }
}

TEST(Pool, RunTimeSequences) {
    run_case({0, 3, 9}, 64, ops::Pooling::mean, Type::fp32, 5);
    run_case({0}, 64, ops::Pooling::mean, Type::fp32, 5);
}
