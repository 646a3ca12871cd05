// What matmul does to its sums: bias, activation, dropout, residual, and the sums of A beside.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "runtime/ops/common.hpp"
#include "runtime/ops/matmul.hpp"
#include "tests/matmul_cases.hpp"
#include "tools/selftest/reference_backward.hpp"

namespace vkbert::test {
namespace {

using namespace matmul_cases;

/// Name of the variant that multiplies in a plan of one matmul.
std::string_view matmul_of(const Plan& plan) {
    const auto is_matmul = [](const Dispatch& d) { return d.kernel->op == "matmul"; };
    return std::ranges::find_if(plan.dispatches(), is_matmul)->kernel->name;
}

TEST(Matmul, Epilogues) {
    std::vector<Case> cases;
    for (uint32_t i = 0; i <= uint32_t(Activation::sigmoid); i++)
        cases.push_back(
            {.m = 21, .n = 28, .k = 32, .bias = true, .residual = i % 2 == 1, .activation = Activation(i)});
    cases.push_back({.m = 21, .n = 28, .k = 32, .activation = Activation::gelu, .scale = -3.5f});
    check_one_a_shader(cases);
    check_one_a_shader(
        all_kinds({{.m = 21,
                    .n = 27,
                    .k = 32,
                    .bias = true,
                    .residual = true,
                    .in_place = true,
                    .activation = Activation::gelu},
                   {.m = 35, .n = 30, .k = 388, .residual = true, .in_place = true, .scale = 0.125f}}));
}

/// Each activation by itself: the product with the identity.
TEST(Matmul, Activations) {
    for (uint32_t i = 0; i <= uint32_t(Activation::sigmoid); i++)
        for (const Type type : {Type::fp32, Type::fp16})
            for (const double magnitude : {4.0, 1000.0}) {
                SCOPED_TRACE(fmt::format("activation {} {} magnitude {}", i, name_of(type), magnitude));
                const Matrix x = random_matrix(515, 4, 1, type, magnitude);
                Matrix identity(4, 4);
                for (uint32_t j = 0; j < 4; j++) identity(j, j) = 1;
                OpRun run;
                const Tensor y = run.output(515, 4, type);
                ops::matmul(run.plan(), "test", y, run.input(x, type), run.input(identity, type),
                            {.activation = Activation(i)});
                run.execute();
                Matrix expected = x;
                for (double& v : expected.values) v = reference::activation(Activation(i), v);
                expect_near(run.result(y), expected, [&](uint32_t r, uint32_t c) {
                    return 4e-7 * std::max(1.0, std::fabs(x(r, c))) +
                           roundoff(type) * std::fabs(expected(r, c)) + 0x1p-25;
                });
            }
}

/// What training adds: the input of an activation kept, and gradients times the activation's slope.
TEST(Matmul, KeptInputsAndSlopes) {
    for (const auto& [type, output] :
         {std::pair(Type::fp32, Type::fp32), {Type::fp16, Type::fp16}, {Type::fp16, Type::fp32}}) {
        Case kept{.m = 37, .n = 27, .k = 132, .type = type, .output_type = output};
        kept.activation = Activation::gelu;
        kept.bias = kept.kept = true;
        kept.extra_pitch = 4;
        Case slope{.m = 37, .n = 27, .k = 260, .orientation = Orientation::nn, .type = type};
        slope.output_type = output;
        slope.activation = Activation::gelu;
        slope.slope = true;
        check_one_a_shader({kept, slope});
    }
    std::vector<Case> slopes;
    for (uint32_t i = 1; i <= uint32_t(Activation::sigmoid); i++)
        slopes.push_back({.m = 5, .n = 8, .k = 16, .activation = Activation(i), .slope = true});
    for (const Case& c : slopes) check(c, {});
}

/// Specialization constants of a call with so many rows at most.
std::vector<uint32_t> constants_of(const Case& c, uint32_t capacity, const KernelChoices& choices) {
    Plan plan(device().capabilities(), choices);
    const Tensor a = plan.persistent("a", capacity, c.k, c.type), b = plan.persistent("b", c.n, c.k, c.type),
                 bias = plan.persistent("bias", 1u, c.n),
                 residual = plan.persistent("residual", capacity, c.n, c.type),
                 output = plan.persistent("output", capacity, c.n, c.type);
    ops::matmul(plan, "test", output, a, b,
                {.bias = &bias, .activation = c.activation, .residual = c.residual ? &residual : nullptr});
    return plan.dispatches().back().constants;  // after what packs operands
}

/// Every kind of epilogue, in workgroups that lie wholly inside C and in others.
std::vector<Case> epilogues_of_matrices() {
    std::vector<Case> cases;
    for (const Type output : {Type::fp16, Type::fp32}) {
        Case c{.m = 70, .n = 74, .k = 40, .type = Type::fp16, .output_type = output};
        c.extra_pitch = 4;  // with it rows of fp16 start on 16 bytes
        c.bias = true;
        c.scale = 0.75f;
        cases.push_back(c);
        c.activation = Activation::gelu;
        c.kept = true;
        cases.push_back(c);
        c.kept = false;
        c.residual = c.in_place = true;
        cases.push_back(c);
        c.orientation = Orientation::nn;
        c.bias = c.residual = c.in_place = false;
        c.slope = true;
        cases.push_back(c);
    }
    cases.push_back({.m = 64, .n = 36, .k = 40, .type = Type::fp16, .output_type = Type::fp16, .bias = true});
    Case parts{.m = 64, .n = 72, .k = 1700, .orientation = Orientation::tn, .type = Type::fp16};
    parts.residual = parts.in_place = true;
    cases.push_back(parts);
    return cases;
}

/// With the epilogue in registers C has the same bits as when it goes through shared memory.
TEST(Matmul, EpilogueInRegistersIsTheSame) {
    bool any = false;
    for (const Kernel& kernel : ops::matmul_kernels(Type::fp16)) {
        if (!kernel.requirements.matrix_per_element || !satisfies(device().capabilities(), kernel)) continue;
        any = true;
        const std::string name(kernel.name), staged = name.substr(0, name.size() - std::string("_nv").size());
        for (const Case& c : epilogues_of_matrices()) {
            SCOPED_TRACE(fmt::format("{} {}", name, describe(c)));
            const Expected e = expect(c);
            const Results one = run_case(c, e, {{"matmul", name}}),
                          other = run_case(c, e, {{"matmul", staged}});
            expect_near(one.output, e.output, [&](uint32_t i, uint32_t j) { return e.tolerance(i, j); });
            EXPECT_EQ(one.output.values, other.output.values);
            EXPECT_EQ(one.kept.values, other.kept.values);
        }
    }
    if (!any) GTEST_SKIP() << "no functions of matrix elements here";
}

/// The calls of a short forward pass get by with one pipeline (EPILOGUE_BY_CALL), whose results are, to the
/// bit, those of a longer one's pipelines.
TEST(Matmul, ShortBatchesShareAPipeline) {
    constexpr uint32_t short_capacity = ops::short_batch, long_capacity = short_capacity + 1;
    bool any = false;
    for (const Type type : {Type::fp32, Type::fp16})
        for (const Kernel& kernel : ops::matmul_kernels(type)) {
            const bool packed = kernel.name == "cpu_packed_short";
            if ((!packed && !kernel.name.starts_with("cpu_texel")) ||
                !satisfies(device().capabilities(), kernel))
                continue;
            any = true;
            const KernelChoices choices{{"matmul", std::string(kernel.name)}};
            std::set<std::vector<uint32_t>> of_short, of_long;
            for (const bool residual : {false, true})
                for (const Activation activation : {Activation::none, Activation::gelu}) {
                    Case c{.m = short_capacity,
                           .n = packed ? 32u : 28u,
                           .k = 32,
                           .type = type,
                           .output_type = type};
                    c.bias = true, c.residual = residual, c.activation = activation, c.run_time = 37,
                    c.strips = packed;
                    SCOPED_TRACE(fmt::format("{} {}", kernel.name, describe(c)));
                    const Expected e = expect(c);
                    const Results one = run_case(c, e, choices);
                    c.m = long_capacity;
                    EXPECT_EQ(one.output.values, run_case(c, e, choices).output.values);
                    expect_near(one.output, e.output,
                                [&](uint32_t i, uint32_t j) { return e.tolerance(i, j); });
                    of_short.insert(constants_of(c, short_capacity, choices));
                    of_long.insert(constants_of(c, long_capacity, choices));
                }
            EXPECT_EQ(of_short.size(), 1u) << kernel.name;
            EXPECT_EQ(of_long.size(), 4u) << kernel.name;
        }
    if (!any) GTEST_SKIP() << "no matmul for short batches here";
}

/// The mask is that of ops::dropout, whether a variant drops by itself or not: where it has a zero, nothing
/// but the residual may be left.
TEST(Matmul, Dropout) {
    std::vector<Case> cases;
    for (const auto& [type, output] :
         {std::pair(Type::fp32, Type::fp32), {Type::fp16, Type::fp16}, {Type::fp16, Type::fp32}}) {
        Case c{.m = 37, .n = 132, .k = 36, .type = type, .output_type = output};
        c.bias = c.residual = true;
        c.dropout = 0.1f;
        cases.push_back(c);
    }
    check_all(cases);
    Case bare{.m = 21, .n = 20, .k = 36, .activation = Activation::gelu, .dropout = 0.6f};
    Case in_place = cases[0];
    in_place.in_place = true;
    in_place.extra_pitch = 12;
    Case short_run = cases[1];
    short_run.run_time = 19;
    check_one_a_shader({bare, in_place, short_run});
    for_each_variant("matmul", [](const KernelChoices& choices) {
        OpRun run(choices);
        const Tensor c = run.output(8, 16), a = run.input(Matrix(8, 256)), b = run.input(Matrix(16, 256));
        const ops::Dropout dropout{0.1f, 1, run.input(dropout_state, 4)};
        ops::matmul(run.plan(), "test", c, a, b, {.dropout = &dropout});
        const std::string_view variant = matmul_of(run.plan());
        const bool packs = variant.starts_with("cpu_packed"),
                   apart = packs || variant.starts_with("cpu_pointer");
        EXPECT_EQ(run.plan().dispatches().size(), 1u + apart + 2 * packs) << variant;
    });
}

/// The gradient of a bias beside that of the weights.
TEST(Matmul, ColumnSumsOfA) {
    std::vector<Case> cases;
    for (const Type type : {Type::fp32, Type::fp16})
        for (const std::optional<uint32_t> rows : {std::optional<uint32_t>(), {0u}, {1u}, {41u}})
            for (const uint32_t m : {30u, 133u}) {
                Case c{.m = m, .n = 70, .k = 75, .orientation = Orientation::tn, .type = type};
                c.residual = c.in_place = m == 30;
                c.run_time = rows;
                c.a_sums = true;
                cases.push_back(c);
            }
    for (const std::optional<uint32_t> rows : {std::optional<uint32_t>(), {700u}}) {  // in parts
        Case c{.m = 38, .n = 24, .k = 1700, .orientation = Orientation::tn};
        c.residual = c.in_place = true;
        c.run_time = rows;
        c.a_sums = true;
        cases.push_back(c);
    }
    check_all(cases);
    for_each_variant("matmul", [](const KernelChoices& choices) {
        OpRun run(choices);
        const Tensor c = run.output(32, 64), a = run.input(Matrix(130, 32)), b = run.input(Matrix(130, 64)),
                     sums = run.output(1, 32);
        ops::matmul(run.plan(), "test", c, a, b, {.orientation = Orientation::tn, .a_sums = &sums});
        const std::string_view variant = matmul_of(run.plan());
        EXPECT_EQ(run.plan().dispatches().size(),
                  (variant.starts_with("tiled") ? 1u : 3u) + 2 * variant.starts_with("cpu_packed"))
            << variant;
    });
}

/// Large arguments must not turn into NaN or infinity on their way through an activation.
TEST(Matmul, ActivationsOfLargeArguments) {
    for (const Activation activation : {Activation::gelu, Activation::gelu_tanh, Activation::tanh,
                                        Activation::silu, Activation::sigmoid, Activation::relu})
        check_one_a_shader(
            {{.m = 5, .n = 8, .k = 16, .activation = activation, .scale = 3e4f},
             {.m = 5, .n = 8, .k = 16, .bias = true, .activation = activation, .scale = 1e-6f}});
}

}  // namespace
}  // namespace vkbert::test
