#include <gtest/gtest.h>

#include "runtime/error.hpp"
#include "runtime/ops/matmul.hpp"
#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

constexpr uint32_t strip = 16;  // columns of the product

/// Strips of (N,K) or (K,N), of which what lies beyond N and K is not looked at.
void run_case(uint32_t n, uint32_t k, bool along_k, uint32_t extra_pitch = 0, uint32_t capacity = 0) {
    SCOPED_TRACE(fmt::format("N {} K {} {}, capacity {}, pitch +{}", n, k, along_k ? "along K" : "across K",
                             capacity, extra_pitch));
    const Matrix values = along_k ? random_matrix(n, k, 1) : random_matrix(k, n, 1);
    for_each_variant("matmul_pack", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = capacity != 0 ? run.rows(capacity, values.rows) : Extent(values.rows);
        const Tensor b = run.input(values, Type::fp32,
                                   {.pitch = (values.columns + 3) / 4 * 4 + extra_pitch, .rows = rows});
        const ops::Strips shape = ops::strips_of(along_k ? rows.capacity : n, along_k ? k : rows.capacity);
        ASSERT_GE(shape.rows * strip, n);
        ASSERT_GE(shape.columns, k * strip);
        const Tensor strips = run.output(shape.rows, shape.columns);
        ops::matmul_pack(run.plan(), "test", strips, b, along_k);
        run.execute();
        const Matrix actual = run.result(strips);
        Matrix packed(n, k), expected(n, k);
        for (uint32_t j = 0; j < n; j++)
            for (uint32_t i = 0; i < k; i++) {
                packed(j, i) = actual(j / strip, i * strip + j % strip);
                expected(j, i) = along_k ? values(j, i) : values(i, j);
            }
        expect_near(packed, expected, [](uint32_t, uint32_t) { return 0; });
    });
}

bool has_variants() {
    const Capabilities& c = device().capabilities();
    return c.scalar_pointer_loads && c.buffer_device_address;
}

TEST(MatmulPack, Shapes) {
    if (!has_variants()) GTEST_SKIP() << "for drivers that load through shared addresses as scalars";
    for (const bool along_k : {true, false}) {
        run_case(16, 64, along_k);
        run_case(1, 4, along_k);
        run_case(31, 60, along_k);
        run_case(33, 68, along_k, 8);
        run_case(100, 132, along_k);
    }
}

TEST(MatmulPack, RunTimeRows) {
    if (!has_variants()) GTEST_SKIP() << "for drivers that load through shared addresses as scalars";
    for (const uint32_t rows : {1u, 63u, 65u, 100u}) {
        run_case(37, rows, false, 0, 100);
        run_case(rows, 36, true, 0, 100);
    }
}

TEST(MatmulPack, RejectsWrongShapes) {
    OpRun run;
    const Tensor b = run.input(Matrix(20, 64));
    const auto pack = [&](const Tensor& strips) { ops::matmul_pack(run.plan(), "test", strips, b, true); };
    EXPECT_THROW(pack(run.output(1, 1024)), Error);
    EXPECT_THROW(pack(run.output(2, 1000)), Error);
    EXPECT_THROW(pack(run.output(2, 1024, Type::fp16)), Error);
}

}  // namespace
