#include <gtest/gtest.h>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

void run_case(const std::vector<uint32_t>& rows, uint32_t columns, Type from, Type to, uint32_t capacity = 0,
              uint32_t pitch = 0) {
    SCOPED_TRACE(fmt::format("{} rows of {}, {} to {}", rows.size(), columns, name_of(from), name_of(to)));
    const Matrix values = random_matrix(50, columns, 1, from);
    for_each_variant("gather_rows", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const auto count = uint32_t(rows.size());
        const Extent extent = capacity != 0 ? run.rows(capacity, count) : Extent(count);
        const Tensor input = run.input(values, from, {.pitch = pitch});
        const Tensor list = run.input(rows, 1, {.rows = extent});
        const Tensor output = run.output(extent, columns, to);
        ops::gather_rows(run.plan(), "test", output, input, list);
        run.execute();
        expect_near(run.result(output), reference::gather(values, rows),
                    [](uint32_t, uint32_t) { return 0; });
    });
}

}  // namespace

TEST(GatherRows, CopiesAndWidens) {
    for (const uint32_t columns : {4u, 60u, 384u, 1024u}) {
        run_case({49, 0, 7, 7, 3}, columns, Type::fp32, Type::fp32);
        run_case({49, 0, 7, 7, 3}, columns, Type::fp16, Type::fp16);
        run_case({49, 0, 7, 7, 3}, columns, Type::fp16, Type::fp32);
    }
}

TEST(GatherRows, RunTimeRowsAndPitch) {
    run_case({4, 2}, 64, Type::fp32, Type::fp32, 9);
    run_case({}, 64, Type::fp16, Type::fp32, 9);
    run_case({4, 2}, 64, Type::fp32, Type::fp32, 0, 80);
}
