#include <gtest/gtest.h>

#include <cmath>

#include "runtime/error.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/ops/matmul_variants.hpp"
#include "tests/matmul_cases.hpp"
#include "tools/selftest/reference_backward.hpp"

namespace vkbert::test {
namespace {

using namespace matmul_cases;

TEST(Matmul, SmallShapes) {
    check_all(all_kinds({{.m = 1, .n = 1, .k = 4},
                         {.m = 1, .n = 2, .k = 8},
                         {.m = 3, .n = 5, .k = 12},
                         {.m = 2, .n = 7, .k = 20},
                         {.m = 4, .n = 4, .k = 16},
                         {.m = 17, .n = 31, .k = 36}}));
}

TEST(Matmul, TileEdges) {
    check_all(all_kinds({{.m = 31, .n = 33, .k = 16},
                         {.m = 64, .n = 63, .k = 28},
                         {.m = 65, .n = 64, .k = 32},
                         {.m = 127, .n = 129, .k = 44},
                         {.m = 129, .n = 127, .k = 60}}));
}

TEST(Matmul, LongSums) {
    check_one_a_shader(all_kinds({{.m = 13, .n = 37, .k = 772}, {.m = 37, .n = 24, .k = 3072}}));
}

/// Whole strips of B and one that is not, steps of K left over, more rows than a workgroup's, and what is
/// stored beside or added in pairs of rows.
TEST(Matmul, Packed) {
    std::vector<Case> cases;
    for (const Orientation orientation : {Orientation::nt, Orientation::nn, Orientation::tn}) {
        for (const uint32_t k : {64u, 192u, 68u, 140u})
            for (const uint32_t n : {48u, 40u})
                cases.push_back({.m = 67, .n = n, .k = k, .orientation = orientation, .bias = true});
        cases.push_back({.m = 300, .n = 32, .k = 128, .orientation = orientation, .residual = true});
        cases.push_back(
            {.m = 64, .n = 32, .k = 128, .orientation = orientation, .residual = true, .in_place = true});
    }
    cases.push_back({.m = 33, .n = 8300, .k = 1024, .bias = true});  // B is packed in two blocks
    for (const Case& c : cases) check(c, {});
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        if (!choices.at("matmul").starts_with("cpu_packed")) return;
        for (const Case& c : cases) check(c, choices);
    });
}

/// Weights that were packed before: few rows and many, rows that end within a workgroup, a strip that has
/// fewer than 16 columns, steps of K that are left over.
TEST(Matmul, WeightsInStrips) {
    if (!ops::reads_strips(device().capabilities(), Type::fp32, 48, 64))
        GTEST_SKIP() << device().capabilities().device_name << " has no matmul for strips";
    std::vector<Case> cases;
    for (const uint32_t m : {1u, 17u, 64u, 65u, 300u})
        for (const auto& [n, k] : {std::pair(48u, 64u), {40u, 140u}, {7u, 192u}})
            for (const bool residual : {false, true})
                cases.push_back({.m = m, .n = n, .k = k, .bias = true, .residual = residual, .strips = true});
    cases.push_back(
        {.m = 9, .n = 64, .k = 128, .bias = true, .activation = Activation::gelu, .strips = true});
    cases.push_back({.m = 90, .n = 64, .k = 128, .bias = true, .run_time = 20, .strips = true});
    cases.push_back({.m = 4, .n = 8300, .k = 1024, .strips = true});  // more than is packed at a time
    check_all(cases);
}

/// What was packed before gives the same bits as packing in the call.
TEST(Matmul, StripsGiveTheSameBits) {
    if (!ops::reads_strips(device().capabilities(), Type::fp32, 48, 64))
        GTEST_SKIP() << device().capabilities().device_name << " has no matmul for strips";
    for (const uint32_t m : {20u, 100u}) {
        Case c{.m = m, .n = 52, .k = 204, .bias = true, .activation = Activation::gelu};
        const Expected e = expect(c);
        const Results rows = run_case(c, e, {{"matmul", "cpu_packed"}});
        c.strips = true;
        for (const char* variant : {"cpu_packed", "cpu_packed_short"}) {
            const Results strips = run_case(c, e, {{"matmul", variant}});
            EXPECT_EQ(rows.output.values, strips.output.values) << variant << " M=" << m;
        }
    }
}

TEST(Matmul, StripsThatDoNotFitAreRefused) {
    OpRun run;
    const ops::Strips shape = ops::strips_of(48, 64);
    const Tensor a = run.input(random_matrix(4, 64, 1)), c = run.output(4, 48),
                 b = run.input(random_matrix(shape.rows, shape.columns, 2)),
                 rows = run.input(random_matrix(48, 64, 2)),
                 half = run.input(random_matrix(4, 64, 1), Type::fp16);
    const auto refuses = [&](const Tensor& left, const Tensor& right, ops::MatmulOptions options) {
        options.b_in_strips = true;
        EXPECT_THROW(ops::matmul(run.plan(), "test", c, left, right, options), Error);
    };
    refuses(a, rows, {});
    refuses(half, b, {});
    refuses(a, b, {.orientation = Orientation::nn});
}

/// Few tiles and many steps: parts of K are summed apart, also those that a short run leaves empty.
TEST(Matmul, PartsOfK) {
    std::vector<Case> cases;
    for (const Type type : {Type::fp32, Type::fp16})
        for (const std::optional<uint32_t> rows : {std::optional<uint32_t>(), {700u}, {0u}})
            cases.push_back({.m = 38,
                             .n = 24,
                             .k = 1700,
                             .orientation = Orientation::tn,
                             .type = type,
                             .residual = !rows || *rows,
                             .in_place = !rows || *rows,
                             .scale = 0.5f,
                             .run_time = rows});
    check_all(cases);
    OpRun run(KernelChoices{{"matmul", "tiled_32"}});
    const Tensor a = run.input(random_matrix(1700, 38, 1), Type::fp32, {40}),
                 b = run.input(random_matrix(1700, 24, 2));
    ops::matmul(run.plan(), "test", run.output(38, 24), a, b, {.orientation = Orientation::tn});
    EXPECT_EQ(run.plan().dispatches().size(), 2u);
    EXPECT_EQ(run.plan().dispatches().front().groups[2].capacity(), 3u);
}

TEST(Matmul, Pitches) {
    check_one_a_shader(all_kinds({{.m = 19, .n = 23, .k = 40, .residual = true, .extra_pitch = 12},
                                  {.m = 33, .n = 34, .k = 64, .residual = true, .extra_pitch = 4}}));
}

TEST(Matmul, RunTimeRows) {
    std::vector<Case> cases;
    for (const uint32_t rows : {0u, 1u, 5u, 32u, 47u, 70u})
        cases.push_back({.m = 70, .n = 44, .k = 72, .bias = true, .residual = true, .run_time = rows});
    std::vector<Case> kinds;  // in fp32: what depends on the rows does not depend on the type
    for (const Case& c : all_kinds(cases))
        if (c.type == Type::fp32) kinds.push_back(c);
    check_all(kinds);
}

TEST(Matmul, ManyRowsAndColumns) {
    check_all({{.m = 523, .n = 96, .k = 64, .bias = true}, {.m = 12, .n = 1031, .k = 64, .residual = true}});
}

/// The gradient of a classifier's input has K classes: A ends with zeros between K and its pitch.
TEST(Matmul, FewClasses) {
    const Type types[] = {Type::fp32, Type::fp16};
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        for (const uint32_t k : {1u, 2u, 3u, 5u, 70u})
            for (const Type type : types) {
                const Case c{.m = 7, .n = 36, .k = k, .orientation = Orientation::nn, .type = type};
                const Expected e = expect(c);
                Matrix padded(c.m, (k + 3) / 4 * 4);
                for (uint32_t i = 0; i < c.m; i++)
                    for (uint32_t j = 0; j < k; j++) padded(i, j) = e.a(i, j);
                OpRun run(choices);
                Tensor a = run.input(padded, type);
                a.columns = k;
                const Tensor b = run.input(e.b, type), output = run.output(c.m, c.n);
                ops::matmul(run.plan(), "test", output, a, b, {.orientation = c.orientation});
                run.execute();
                expect_near(run.result(output), e.output,
                            [&](uint32_t i, uint32_t j) { return e.tolerance(i, j); });
            }
    });
}

/// B too large for one binding, or for one texel buffer, goes in blocks of its rows: 128, 128 and 45 here.
TEST(Matmul, LargeMatricesInBlocks) {
    constexpr uint32_t m = 5, n = 301, k = 32, rows_at_a_time = 128;
    const auto blocks = [&](const Case& c, const Capabilities& capabilities, const KernelChoices& choices) {
        const Expected e = expect(c);
        OpRun run(choices, capabilities);
        const Tensor a = run.input(e.a, c.type), b = run.input(e.b, c.type), bias = run.input(e.bias);
        const Tensor residual = run.input(e.residual, c.output_type, {pitch_of(c, n), Extent(m)});
        const Tensor output = run.output(m, n, c.output_type, pitch_of(c, n));
        ops::matmul(run.plan(), "test", output, a, b, {.bias = &bias, .residual = &residual});
        const auto products = std::ranges::count(run.plan().dispatches(), "matmul",
                                                 [](const Dispatch& d) { return d.kernel->op; });
        run.execute();
        expect_near(run.result(output), e.output, [&](uint32_t i, uint32_t j) { return e.tolerance(i, j); });
        return products;
    };
    for (const Type type : {Type::fp32, Type::fp16}) {
        const Case c{
            .m = m, .n = n, .k = k, .type = type, .output_type = type, .bias = true, .residual = true};
        for_each_variant("matmul", [&](const KernelChoices& choices) {
            Capabilities capabilities = device().capabilities();
            EXPECT_EQ(blocks(c, capabilities, choices), 1);
            capabilities.max_storage_buffer_range = rows_at_a_time * k * size_of(type);
            EXPECT_EQ(blocks(c, capabilities, choices), 3);
        });
        for_each_variant("matmul", [&](const KernelChoices& choices) {
            if (!choices.at("matmul").starts_with("cpu_texel")) return;
            Capabilities capabilities = device().capabilities();
            capabilities.max_texel_elements = rows_at_a_time * k / 4;
            EXPECT_EQ(blocks(c, capabilities, choices), 3);
        });
    }
}

TEST(Matmul, RejectsWrongShapes) {
    const auto rejects = [](uint32_t c_columns, uint32_t a_columns, uint32_t b_columns, Type b_type) {
        OpRun run;
        const Tensor a = run.input(Matrix(3, a_columns)), b = run.input(Matrix(8, b_columns), b_type);
        const Tensor c = run.output(3, c_columns);
        EXPECT_THROW(ops::matmul(run.plan(), "test", c, a, b), Error);
    };
    rejects(8, 16, 12, Type::fp32);   // K differs
    rejects(12, 16, 16, Type::fp32);  // N differs
    rejects(8, 14, 14, Type::fp32);   // K is not a multiple of 4
    rejects(8, 16, 16, Type::fp16);   // two types
    OpRun run;
    const Tensor a = run.input(Matrix(8, 16)), b = run.input(Matrix(8, 12)), c = run.output(16, 12),
                 sums = run.output(1, 12), columns = run.output(1, 16);
    EXPECT_THROW(ops::matmul(run.plan(), "test", c, a, b, {.orientation = Orientation::tn, .a_sums = &sums}),
                 Error);
    EXPECT_THROW(
        ops::matmul(run.plan(), "test", run.output(8, 8), a, run.input(Matrix(8, 16)), {.a_sums = &columns}),
        Error);
    const ops::Dropout dropout{0.1f, 1, run.input(dropout_state, 4)};
    EXPECT_THROW(
        ops::matmul(run.plan(), "test", run.output(8, 7), a, run.input(Matrix(7, 16)), {.dropout = &dropout}),
        Error);
}

}  // namespace
}  // namespace vkbert::test
