// The checks of the ops on the way back through a layer: elementwise, sums, moves of rows, attention.
#include <algorithm>
#include <cmath>

#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "tools/selftest/checks.hpp"
#include "tools/selftest/reference_backward.hpp"
#include "tools/selftest/reference_random.hpp"

namespace vkbert::tools {

using test::Matrix;
using test::random_matrix;
using test::roundoff;
namespace reference = test::reference;

static constexpr ops::Activation activation = ops::Activation::gelu;

static double check_activation_backward(OpRun& run, uint64_t seed, Type type) {
    const Matrix x = random_matrix(5, 132, seed, type, 4), d_y = random_matrix(5, 132, seed + 1, type);
    Matrix expected = d_y;
    for (size_t i = 0; i < x.values.size(); ++i)
        expected.values[i] *= reference::activation_slope(activation, x.values[i]);
    const Tensor d_x = run.output(5, 132, type);
    ops::activation_backward(run.plan(), "selftest", d_x, run.input(d_y, type), run.input(x, type),
                             activation);
    run.execute();
    return worst(run.result(d_x), expected,
                 [&](uint32_t i, uint32_t j) { return 3e-6 + roundoff(type) * std::fabs(expected(i, j)); });
}

static double check_attention_backward(OpRun& run, uint64_t seed, Type type) {
    constexpr uint32_t heads = 2, hidden = 64;
    const std::vector<uint32_t> offsets{0, 1, 18, 53};
    const uint32_t tokens = offsets.back();
    const Matrix qkv = random_matrix(tokens, 3 * hidden, seed, type),
                 d_output = random_matrix(tokens, hidden, seed + 1, type);
    const reference::Attention forward = reference::attention(qkv, offsets, heads, false);
    const Matrix output = test::rounded(forward.output, type);
    const reference::AttentionGradient expected =
        reference::attention_backward(d_output, qkv, output, offsets, heads, false);
    std::vector<uint32_t> words;
    for (const ops::AttentionTile& tile : ops::attention_tiles(offsets))
        words.insert(words.end(), {tile.row, tile.rows, tile.first, tile.length});
    const Tensor d_qkv = run.output(tokens, 3 * hidden, type);
    ops::AttentionOptions options;
    options.heads = heads;
    ops::attention_backward(run.plan(), "selftest", d_qkv, run.input(d_output, type), run.input(qkv, type),
                            run.input(output, type), run.input(forward.logsumexp), run.input(words, 4),
                            options);
    run.execute();
    const double term = rounds_operands(run) ? roundoff(Type::fp16) : 0;
    return worst(run.result(d_qkv), expected.d_qkv, [&](uint32_t i, uint32_t j) {
        return 128 * roundoff(Type::fp32) * (expected.magnitude(i, j) + 1) + term * expected.magnitude(i, j) +
               roundoff(type) * std::fabs(expected.d_qkv(i, j));
    });
}

static double check_column_sums(OpRun& run, uint64_t seed, Type type) {
    const Matrix x = random_matrix(301, 36, seed, type);
    const Tensor sums = run.output(1, 36);
    ops::column_sums(run.plan(), "selftest", sums, run.input(x, type), false);
    run.execute();
    return worst(run.result(sums), reference::column_sums(x),
                 [](uint32_t, uint32_t) { return 32 * roundoff(Type::fp32) * 301; });
}

static double check_dropout(OpRun& run, uint64_t seed, Type type) {
    const Matrix x = random_matrix(9, 132, seed, type);
    const reference::DropoutMask mask{0.1f, 3, {uint32_t(seed), 7, 11, 0}};
    const Matrix expected = reference::dropout(x, mask);
    const Tensor y = run.output(9, 132, type),
                 state = run.input(std::vector<uint32_t>{uint32_t(seed), 7, 11, 0}, 4);
    ops::dropout(run.plan(), "selftest", y, run.input(x, type), {0.1f, 3, state});
    run.execute();
    return worst(run.result(y), expected,
                 [&](uint32_t i, uint32_t j) {  // a wrong mask is off by the element itself
                     return (8 * roundoff(Type::fp32) + roundoff(type)) * std::fabs(expected(i, j)) + 1e-12;
                 });
}

static double check_scatter(OpRun& run, uint64_t seed, Type from, Type to) {
    const Matrix x = random_matrix(3, 36, seed, from);
    const std::vector<uint32_t> rows{6, 0, 4};
    const Matrix expected = reference::scatter(x, rows, 8);
    const Tensor y = run.output(8, 36, to);
    ops::scatter_rows(run.plan(), "selftest", y, run.input(x, from), run.input(rows));
    run.execute();
    return worst(run.result(y), expected, [&](uint32_t i, uint32_t j) {
        return (from == to ? 0 : roundoff(to)) * std::fabs(expected(i, j)) + 1e-12;
    });
}

static double check_transpose(OpRun& run, uint64_t seed, Type type) {
    const Matrix x = random_matrix(37, 44, seed, type);
    const Tensor y = run.output(44, 40, type);
    Tensor target = y;
    target.columns = 37;
    ops::transpose(run.plan(), "selftest", target, run.input(x, type));
    run.execute();
    return worst(run.result(target), reference::transpose(x), [](uint32_t, uint32_t) { return 1e-12; });
}

void add_gradient_checks(std::vector<Check>& checks) {
    add_for_types(checks, "activation_backward", ops::activation_backward_kernels, check_activation_backward);
    add_for_types(checks, "attention_backward", ops::attention_backward_kernels, check_attention_backward);
    add_for_types(checks, "column_sums", ops::column_sums_kernels, check_column_sums);
    add_for_types(checks, "dropout", ops::dropout_kernels, check_dropout);
    add_for_types(checks, "transpose", ops::transpose_kernels, check_transpose);
    for (const Type type : {Type::fp32, Type::fp16}) {
        const bool half = type == Type::fp16;
        checks.push_back(
            {"scatter_rows", name_of(type), half, ops::scatter_rows_kernels(type, type),
             [type](OpRun& run, uint64_t seed) { return check_scatter(run, seed, type, type); }});
    }
    checks.push_back(
        {"scatter_rows", "fp32 to fp16", true, ops::scatter_rows_kernels(Type::fp32, Type::fp16),
         [](OpRun& run, uint64_t seed) { return check_scatter(run, seed, Type::fp32, Type::fp16); }});
    checks.push_back({"fill", "fp32", false, ops::fill_kernels(), [](OpRun& run, uint64_t seed) {
                          return check_scatter(run, seed, Type::fp32, Type::fp32);
                      }});
}

}  // namespace vkbert::tools
