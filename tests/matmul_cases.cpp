#include "tests/matmul_cases.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tools/selftest/reference_backward.hpp"
#include "tools/selftest/reference_random.hpp"

namespace vkbert::test::matmul_cases {

static constexpr uint32_t dropout_site = 7;

std::string describe(const Case& c) {
    const char* orientation[] = {"nt", "nn", "tn"};
    return fmt::format(
        "M={} N={} K={} {} {}->{} bias {} residual {} activation {} scale {} pitch +{} run-time {}{}", c.m,
        c.n, c.k, orientation[int(c.orientation)], name_of(c.type), name_of(c.output_type), c.bias,
        c.residual ? c.in_place ? 2 : 1 : 0, int(c.activation), c.scale, c.extra_pitch,
        c.run_time ? int(*c.run_time) : -1, c.strips ? ", B in strips" : "");
}

/// B(N,K) as ops::Strips tells, and what it does not have as NaN.
static Matrix in_strips(const Matrix& b) {
    const ops::Strips shape = ops::strips_of(b.rows, b.columns);
    Matrix strips(shape.rows, shape.columns, NAN);
    std::vector<float> rows(size_t(ops::Strips::width) * b.columns), strip(shape.columns, NAN);
    for (uint32_t s = 0; s * ops::Strips::width < b.rows; s++) {
        for (uint32_t r = 0; r < ops::Strips::width; r++)
            for (uint32_t k = 0; k < b.columns; k++) {
                const uint32_t row = s * ops::Strips::width + r;
                rows[size_t(r) * b.columns + k] = row < b.rows ? float(b(row, k)) : NAN;
            }
        ops::fill_strip(rows, strip);
        for (uint32_t i = 0; i < shape.columns; i++) strips(s, i) = strip[i];
    }
    return strips;
}

uint32_t pitch_of(const Case& c, uint32_t columns) {
    return (columns + 3) / 4 * 4 + c.extra_pitch;
}

/// Sums of the columns of A(K,M), over the rows of this run, on top of what was there when C is added to.
static void expect_a_sums(const Case& c, uint32_t k, Expected& e) {
    e.a_sums_before = random_matrix(1, c.m, 5);
    e.a_sums = e.a_sums_tolerance = Matrix(1, c.m);
    for (uint32_t column = 0; column < c.m; column++) {
        const double before = c.in_place ? e.a_sums_before(0, column) : 0;
        double magnitude = std::fabs(before);
        e.a_sums(0, column) = before;
        for (uint32_t row = 0; row < k; row++) {
            e.a_sums(0, column) += e.a(row, column);
            magnitude += std::fabs(e.a(row, column));
        }
        e.a_sums_tolerance(0, column) = (std::sqrt(double(k)) + 4) * roundoff(Type::fp32) * magnitude;
    }
}

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
    e.dropped = reference::dropout(
        Matrix(m, c.n, 1),
        {c.dropout, dropout_site, {dropout_state[0], dropout_state[1], dropout_state[2], dropout_state[3]}});
    if (c.a_sums) expect_a_sums(c, k, e);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < c.n; j++) {
            const double x = c.scale * e.output(i, j) + (c.bias ? e.bias(0, j) : 0);
            const double added = c.residual ? e.residual(i, j) : 0;
            const double slope = reference::activation_slope(c.activation, e.residual(i, j));
            const double activated = reference::activation(c.activation, x) * e.dropped(i, j);
            const double value = c.slope ? x * slope : activated + added;
            // A sum of K products errs like sqrt(K) roundings of the sum of magnitudes, and the scale and the
            // bias add one rounding each; no activation is steeper than 1.13, and they are good to 4e-7
            // max(1,|x|).
            const double magnitude =
                std::fabs(c.scale) * e.tolerance(i, j) + (c.bias ? std::fabs(e.bias(0, j)) : 0);
            double tolerance = 1.13 * (std::sqrt(double(k)) + 4) * roundoff(Type::fp32) * magnitude;
            if (c.activation != Activation::none) tolerance += 4e-7 * std::max(1.0, std::fabs(x));
            if (c.slope)
                tolerance += 1e-6 * std::fabs(x);  // slopes are good to 1e-6 (activation_backward_test)
            tolerance *= c.dropout > 0 ? e.dropped(i, j) : 1;  // and GLSL's 256 / q is good to 2.5 roundings
            tolerance += roundoff(Type::fp32) * (std::fabs(value) + std::fabs(added) +
                                                 (c.dropout > 0 ? 3 * std::fabs(activated) : 0));
            if (c.output_type == Type::fp16) {
                tolerance += roundoff(Type::fp16) * std::fabs(value) + 0x1p-25;
                // An op of its own drops what was rounded once before.
                if (c.dropout > 0) tolerance += roundoff(Type::fp16) * std::fabs(activated) + 0x1p-25;
            }
            e.output(i, j) = value;
            e.tolerance(i, j) = tolerance;
            e.before(i, j) = x;
            e.before_tolerance(i, j) = tolerance + roundoff(c.output_type) * std::fabs(x);
        }
    return e;
}

Results run_case(const Case& c, const Expected& e, const KernelChoices& choices) {
    const bool tn = c.orientation == Orientation::tn, nt = c.orientation == Orientation::nt;
    OpRun run(choices);
    const uint32_t a_rows = tn ? c.k : c.m;
    const Extent dynamic = c.run_time ? run.rows(a_rows, *c.run_time) : Extent(a_rows);
    const auto pitch = [&](const Matrix& matrix) { return pitch_of(c, matrix.columns); };
    const Tensor a = run.input(e.a, c.type, {pitch(e.a), dynamic});
    const Tensor b = c.strips ? run.input(in_strips(e.b))
                              : run.input(e.b, c.type,
                                          {pitch(e.b), nt   ? Extent(c.n)
                                                       : tn ? dynamic
                                                            : Extent(c.k)});
    const Tensor bias = run.input(e.bias);
    const TensorLayout c_layout{pitch_of(c, c.n), tn ? Extent(c.m) : dynamic};
    const Tensor residual = c.in_place ? run.in_out(e.residual, c.output_type, c_layout)
                                       : run.input(e.residual, c.output_type, c_layout);
    const Tensor output =
        c.in_place ? residual : run.output(c_layout.rows, c.n, c.output_type, c_layout.pitch);
    ops::MatmulOptions options{.orientation = c.orientation, .activation = c.activation, .scale = c.scale};
    options.b_in_strips = c.strips;
    if (c.bias) options.bias = &bias;
    if (c.residual) options.residual = &residual;
    if (c.slope) options.slope_at = &residual;
    const Tensor kept = run.output(c_layout.rows, c.n, c.output_type, c_layout.pitch);
    if (c.kept) options.kept = &kept;
    const ops::Dropout dropout{c.dropout, dropout_site, run.input(dropout_state, 4)};
    if (c.dropout > 0) options.dropout = &dropout;
    const Tensor a_sums = c.a_sums ? run.in_out(e.a_sums_before) : Tensor{};
    if (c.a_sums) options.a_sums = &a_sums;
    ops::matmul(run.plan(), "test", output, a, b, options);
    if (const auto forced = choices.find("matmul"); forced != choices.end()) {
        for (const Dispatch& dispatch : run.plan().dispatches())
            if (dispatch.kernel->op == "matmul") {
                EXPECT_EQ(dispatch.kernel->name, forced->second);
            }
    }
    run.execute();
    return {run.result(output), c.kept ? run.result(kept) : Matrix(0, 0),
            c.a_sums ? run.result(a_sums) : Matrix(0, 0)};
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
                                         c.activation != Activation::none,
                                         c.strips};
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
    if (c.a_sums)
        expect_near(results.a_sums, e.a_sums,
                    [&](uint32_t i, uint32_t j) { return e.a_sums_tolerance(i, j); });
}

void check_all(const std::vector<Case>& cases) {
    for (const Case& c : cases) check(c, {});
    for_each_variant("matmul", [&](const KernelChoices& choices) {
        for (const Case& c : cases) check(c, choices);
    });
}

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

}  // namespace vkbert::test::matmul_cases
