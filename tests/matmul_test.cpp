#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "runtime/error.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/ops/matmul_variants.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_backward.hpp"

namespace vkbert::test {
namespace {

using ops::Activation;
using ops::Orientation;

struct Case {
    uint32_t m, n, k;
    Orientation orientation = Orientation::nt;
    Type type = Type::fp32, output_type = Type::fp32;
    bool bias = false, residual = false, in_place = false;
    Activation activation = Activation::none;
    float scale = 1;
    uint32_t extra_pitch = 0;            // elements beyond the columns, rounded up to 4, of every matrix
    std::optional<uint32_t> run_time{};  // rows of this run (of M, or K for tn), m or k being the capacity
    bool kept = false, slope = false;    // slope: at what is the residual else
};

std::string describe(const Case& c) {
    const char* orientation[] = {"nt", "nn", "tn"};
    return fmt::format(
        "M={} N={} K={} {} {}->{} bias {} residual {} activation {} scale {} pitch +{} run-time {}", c.m, c.n,
        c.k, orientation[int(c.orientation)], name_of(c.type), name_of(c.output_type), c.bias,
        c.residual ? c.in_place ? 2 : 1 : 0, int(c.activation), c.scale, c.extra_pitch,
        c.run_time ? int(*c.run_time) : -1);
}

uint32_t pitch_of(const Case& c, uint32_t columns) {
    return (columns + 3) / 4 * 4 + c.extra_pitch;
}

/// Inputs, expected output and, per element, how far from it fp32 arithmetic may end.
struct Expected {
    Matrix a, b, bias, residual, output, tolerance;
    Matrix before, before_tolerance;  // the activation
};

Expected expect(const Case& c) {
    const bool tn = c.orientation == Orientation::tn, nt = c.orientation == Orientation::nt;
    const uint32_t m = tn ? c.m : c.run_time.value_or(c.m), k = tn ? c.run_time.value_or(c.k) : c.k;
    Expected e;
    e.a = tn ? random_matrix(k, m, 1, c.type) : random_matrix(m, k, 1, c.type);
    e.b = nt ? random_matrix(c.n, k, 2, c.type) : random_matrix(k, c.n, 2, c.type);
    e.bias = random_matrix(1, c.n, 3);
    e.residual = random_matrix(m, c.n, 4, c.output_type, 2);
    e.output = reference::matmul(e.a, e.b, c.orientation);
    e.tolerance = e.before_tolerance = reference::matmul(e.a, e.b, c.orientation, true);
    e.before = e.output;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < c.n; j++) {
            const double x = c.scale * e.output(i, j) + (c.bias ? e.bias(0, j) : 0);
            const double added = c.residual ? e.residual(i, j) : 0;
            const double slope = reference::activation_slope(c.activation, e.residual(i, j));
            const double value = c.slope ? x * slope : reference::activation(c.activation, x) + added;
            // A sum of K products errs like sqrt(K) roundings of the sum of magnitudes, and the scale and the
            // bias add one rounding each; no activation is steeper than 1.13, and they are good to 4e-7
            // max(1,|x|).
            const double magnitude =
                std::fabs(c.scale) * e.tolerance(i, j) + (c.bias ? std::fabs(e.bias(0, j)) : 0);
            double tolerance = 1.13 * (std::sqrt(double(k)) + 4) * roundoff(Type::fp32) * magnitude;
            if (c.activation != Activation::none) tolerance += 4e-7 * std::max(1.0, std::fabs(x));
            if (c.slope)
                tolerance += 1e-6 * std::fabs(x);  // slopes are good to 1e-6 (activation_backward_test)
            tolerance += roundoff(Type::fp32) * (std::fabs(value) + std::fabs(added));
            if (c.output_type == Type::fp16) tolerance += roundoff(Type::fp16) * std::fabs(value) + 0x1p-25;
            e.output(i, j) = value;
            e.tolerance(i, j) = tolerance;
            e.before(i, j) = x;
            e.before_tolerance(i, j) = tolerance + roundoff(c.output_type) * std::fabs(x);
        }
    return e;
}

struct Results {
    Matrix output, kept;  // kept only where the case has it
};

/// What the device makes of the case, which the forced variant can do, if there is one.
Results run_case(const Case& c, const Expected& e, const KernelChoices& choices) {
    const bool tn = c.orientation == Orientation::tn, nt = c.orientation == Orientation::nt;
    OpRun run(choices);
    const uint32_t a_rows = tn ? c.k : c.m;
    const Extent dynamic = c.run_time ? run.rows(a_rows, *c.run_time) : Extent(a_rows);
    const auto pitch = [&](const Matrix& matrix) { return pitch_of(c, matrix.columns); };
    const Tensor a = run.input(e.a, c.type, {pitch(e.a), dynamic});
    const Tensor b = run.input(e.b, c.type, {pitch(e.b), nt ? Extent(c.n) : tn ? dynamic : Extent(c.k)});
    const Tensor bias = run.input(e.bias);
    const TensorLayout c_layout{pitch_of(c, c.n), tn ? Extent(c.m) : dynamic};
    const Tensor residual = c.in_place ? run.in_out(e.residual, c.output_type, c_layout)
                                       : run.input(e.residual, c.output_type, c_layout);
    const Tensor output =
        c.in_place ? residual : run.output(c_layout.rows, c.n, c.output_type, c_layout.pitch);
    ops::MatmulOptions options{.orientation = c.orientation, .activation = c.activation, .scale = c.scale};
    if (c.bias) options.bias = &bias;
    if (c.residual) options.residual = &residual;
    if (c.slope) options.slope_at = &residual;
    const Tensor kept = run.output(c_layout.rows, c.n, c.output_type, c_layout.pitch);
    if (c.kept) options.kept = &kept;
    ops::matmul(run.plan(), "test", output, a, b, options);
    if (const auto forced = choices.find("matmul"); forced != choices.end()) {
        for (const Dispatch& dispatch : run.plan().dispatches())
            if (dispatch.kernel->op == "matmul") {
                EXPECT_EQ(dispatch.kernel->name, forced->second);
            }
    }
    run.execute();
    return {run.result(output), c.kept ? run.result(kept) : Matrix(0, 0)};
}

void check(const Case& c, const KernelChoices& choices) {
    const bool tn = c.orientation == Orientation::tn, nt = c.orientation == Orientation::nt;
    const auto forced = choices.find("matmul");
    if (forced != choices.end()) {
        const ops::MatmulProblem problem{c.m,
                                         c.n,
                                         c.k,
                                         c.type,
                                         c.output_type,
                                         c.orientation,
                                         pitch_of(c, tn ? c.m : c.k),
                                         pitch_of(c, nt ? c.k : c.n),
                                         c.in_place,
                                         c.activation != Activation::none};
        const auto table = ops::matmul_kernels(c.type);
        const auto kernel = std::ranges::find(table, forced->second, &Kernel::name);
        if (kernel == table.end() || !ops::supports(*kernel, device().capabilities(), problem)) return;
    }
    SCOPED_TRACE(describe(c));
    const Expected e = expect(c);
    const Results results = run_case(c, e, choices);
    expect_near(results.output, e.output, [&](uint32_t i, uint32_t j) { return e.tolerance(i, j); });
    if (c.kept)
        expect_near(results.kept, e.before, [&](uint32_t i, uint32_t j) { return e.before_tolerance(i, j); });
}

void check_all(const std::vector<Case>& cases) {
    for (const Case& c : cases) check(c, {});
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        for (const Case& c : cases) check(c, choices);
    });
}

/// For what all variants share: one variant a shader, since each compiles anew for every epilogue.
void check_one_a_shader(const std::vector<Case>& cases) {
    for (const Case& c : cases) check(c, {});
    std::set<const Shader*> seen;
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        for (const Type type : {Type::fp32, Type::fp16})
            for (const Kernel& kernel : ops::matmul_kernels(type))
                if (kernel.name == choices.at("matmul") && !seen.insert(kernel.shader).second) return;
        for (const Case& c : cases) check(c, choices);
    });
}

/// The same cases in every orientation and every combination of types.
std::vector<Case> all_kinds(const std::vector<Case>& cases) {
    std::vector<Case> all;
    for (const Orientation orientation : {Orientation::nt, Orientation::nn, Orientation::tn})
        for (const Case& c : cases) {
            Case kind = c;
            kind.orientation = orientation;
            all.push_back(kind);
            kind.type = Type::fp16;
            all.push_back(kind);
            kind.output_type = Type::fp16;
            all.push_back(kind);
        }
    return all;
}

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

/// K's that a CPU driver cuts into equal steps of a column, and one that leaves some over.
TEST(Matmul, HeldSteps) {
    EXPECT_EQ(ops::held_steps(Orientation::nt, 768), 128u);
    EXPECT_EQ(ops::held_steps(Orientation::nt, 192), 96u);
    EXPECT_EQ(ops::held_steps(Orientation::nn, 312), 104u);
    EXPECT_EQ(ops::held_steps(Orientation::tn, 312), 128u);
    EXPECT_EQ(ops::held_steps(Orientation::nt, 388), 128u);
    std::vector<Case> cases;
    for (const Orientation orientation : {Orientation::nt, Orientation::nn, Orientation::tn})
        for (const uint32_t k : {192u, 312u, 68u, 388u})
            cases.push_back({.m = 67, .n = 40, .k = k, .orientation = orientation, .bias = true});
    for (const Case& c : cases) check(c, {});
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        if (choices.at("matmul") != "cpu_held") return;
        for (const Case& c : cases) check(c, choices);
    });
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

/// Large arguments must not turn into NaN or infinity on their way through an activation.
TEST(Matmul, ActivationsOfLargeArguments) {
    for (const Activation activation : {Activation::gelu, Activation::gelu_tanh, Activation::tanh,
                                        Activation::silu, Activation::sigmoid, Activation::relu})
        check_one_a_shader(
            {{.m = 5, .n = 8, .k = 16, .activation = activation, .scale = 3e4f},
             {.m = 5, .n = 8, .k = 16, .bias = true, .activation = activation, .scale = 1e-6f}});
}

/// The gradient of a classifier's input has K classes: A ends with zeros between K and its pitch.
TEST(Matmul, FewClasses) {
    const Type types[] = {Type::fp32, Type::fp16};
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        for (const uint32_t k : {1u, 2u, 3u, 5u})
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
        const size_t dispatches = run.plan().dispatches().size();
        run.execute();
        expect_near(run.result(output), e.output, [&](uint32_t i, uint32_t j) { return e.tolerance(i, j); });
        return dispatches;
    };
    for (const Type type : {Type::fp32, Type::fp16}) {
        const Case c{
            .m = m, .n = n, .k = k, .type = type, .output_type = type, .bias = true, .residual = true};
        for_each_variant("matmul", [&](const KernelChoices& choices) {
            Capabilities capabilities = device().capabilities();
            EXPECT_EQ(blocks(c, capabilities, choices), 1u);
            capabilities.max_storage_buffer_range = rows_at_a_time * k * size_of(type);
            EXPECT_EQ(blocks(c, capabilities, choices), 3u);
        });
        for_each_variant("matmul", [&](const KernelChoices& choices) {
            if (!choices.at("matmul").starts_with("cpu_texel")) return;
            Capabilities capabilities = device().capabilities();
            capabilities.max_texel_elements = rows_at_a_time * k / 4;
            EXPECT_EQ(blocks(c, capabilities, choices), 3u);
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
}

}  // namespace
}  // namespace vkbert::test
