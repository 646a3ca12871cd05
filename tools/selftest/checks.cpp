#include "tools/selftest/checks.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/ops/matmul.hpp"
#include "runtime/ops/tables.hpp"

namespace vkbert::tools {

using test::Matrix;
using test::random_matrix;
using test::roundoff;
namespace reference = test::reference;

double worst(const Matrix& actual, const Matrix& expected,
             const std::function<double(uint32_t, uint32_t)>& tolerance) {
    double largest = 0;
    for (uint32_t row = 0; row < expected.rows; ++row)
        for (uint32_t column = 0; column < expected.columns; ++column) {
            const double error = std::fabs(actual(row, column) - expected(row, column));
            const double part = error == 0 ? 0 : error / tolerance(row, column);
            if (!(part <= largest)) largest = part;
            if (std::isnan(largest)) return largest;
        }
    return largest;
}

static double check_matmul(OpRun& run, uint64_t seed, Type type) {
    constexpr uint32_t M = 37, N = 68, K = 132;
    const Matrix a = random_matrix(M, K, seed, type), b = random_matrix(N, K, seed + 1, type);
    const Matrix bias = random_matrix(1, N, seed + 2);
    Matrix expected = reference::matmul(a, b, ops::Orientation::nt);
    Matrix magnitude = reference::matmul(a, b, ops::Orientation::nt, true);
    for (uint32_t row = 0; row < M; ++row)
        for (uint32_t column = 0; column < N; ++column) {
            const double x = expected(row, column) + bias(0, column);
            expected(row, column) = reference::activation(ops::Activation::gelu, x);
            // A sum of K products errs like sqrt(K) roundings of the sum of magnitudes; GELU is no steeper
            // than 1.13.
            magnitude(row, column) = 1.13 * (std::sqrt(double(K)) + 4) * roundoff(Type::fp32) *
                                         (magnitude(row, column) + std::fabs(bias(0, column))) +
                                     4e-7 * std::max(1.0, std::fabs(x)) +
                                     roundoff(type) * std::fabs(expected(row, column)) + 0x1p-25;
        }
    const Tensor a_tensor = run.input(a, type), b_tensor = run.input(b, type), bias_tensor = run.input(bias);
    const Tensor output = run.output(M, N, type);
    ops::MatmulOptions options;
    options.bias = &bias_tensor;
    options.activation = ops::Activation::gelu;
    ops::matmul(run.plan(), "selftest", output, a_tensor, b_tensor, options);
    run.execute();
    return worst(run.result(output), expected,
                 [&](uint32_t row, uint32_t column) { return magnitude(row, column); });
}

bool rounds_operands(OpRun& run) {
    return run.plan().dispatches().front().kernel->requirements.matrix.m != 0;
}

static double check_attention(OpRun& run, uint64_t seed, Type type) {
    constexpr uint32_t heads = 2, head_size = 32;
    const std::vector<uint32_t> offsets{0, 1, 18, 53};
    const Matrix qkv = random_matrix(offsets.back(), 3 * heads * head_size, seed, type);
    const Matrix expected = reference::attention(qkv, offsets, heads, false).output;
    Matrix magnitudes = qkv;
    for (uint32_t row = 0; row < qkv.rows; ++row)
        for (uint32_t i = 2 * heads * head_size; i < qkv.columns; ++i)
            magnitudes(row, i) = std::fabs(qkv(row, i));
    const Matrix terms = reference::attention(magnitudes, offsets, heads, false).output;
    std::vector<uint32_t> words;
    for (const ops::AttentionTile& tile : ops::attention_tiles(offsets))
        words.insert(words.end(), {tile.row, tile.rows, tile.first, tile.length});
    const Tensor input = run.input(qkv, type), tiles = run.input(words, 4);
    const Tensor output = run.output(offsets.back(), heads * head_size, type);
    ops::AttentionOptions options;
    options.heads = heads;
    ops::attention_forward(run.plan(), "selftest", output, input, tiles, options);
    run.execute();
    const double single = 16 * roundoff(Type::fp32) * (std::sqrt(double(head_size)) + 8);
    const double weight = rounds_operands(run) ? roundoff(Type::fp16) : 0;
    return worst(run.result(output), expected, [&](uint32_t row, uint32_t column) {
        return single + weight * terms(row, column) + roundoff(type) * std::fabs(expected(row, column));
    });
}

static double check_layernorm(OpRun& run, uint64_t seed, Type type) {
    const Matrix x = random_matrix(5, 384, seed, type, 2), gamma = random_matrix(1, 384, seed + 1),
                 beta = random_matrix(1, 384, seed + 2);
    const reference::LayerNorm expected = reference::layernorm(x, gamma, beta, 1e-12f);
    const Tensor input = run.input(x, type), output = run.output(x.rows, x.columns, type);
    ops::layernorm_forward(run.plan(), "selftest", output, input, run.input(gamma), run.input(beta));
    run.execute();
    return worst(run.result(output), expected.output, [&](uint32_t row, uint32_t column) {
        const double normalized = (std::fabs(x(row, column)) + 2) * expected.rstd(row, 0);
        return 8 * roundoff(Type::fp32) *
                   (std::fabs(gamma(0, column)) * normalized + std::fabs(beta(0, column))) +
               roundoff(type) * std::fabs(expected.output(row, column));
    });
}

static double check_embedding(OpRun& run, uint64_t seed, Type type) {
    const Matrix words = random_matrix(31, 256, seed, type),
                 positions = random_matrix(16, 256, seed + 1, type);
    const Matrix types = random_matrix(2, 256, seed + 2, type);
    const std::vector<uint32_t> ids{0, 30, 7, 7, 12}, places{0, 1, 15, 3, 4}, segments{0, 1, 1, 0, 1};
    const Matrix expected =
        reference::add(reference::add(reference::gather(words, ids), reference::gather(positions, places)),
                       reference::gather(types, segments));
    const Tensor output = run.output(5, 256, type);
    ops::embedding_forward(run.plan(), "selftest", output, run.input(ids), run.input(places),
                           run.input(segments),
                           {run.input(words, type), run.input(positions, type), run.input(types, type)});
    run.execute();
    return worst(run.result(output), expected, [&](uint32_t row, uint32_t column) {
        return 12 * roundoff(Type::fp32) + roundoff(type) * std::fabs(expected(row, column));
    });
}

static double check_pool(OpRun& run, uint64_t seed, Type type) {
    const std::vector<uint32_t> offsets{0, 1, 8, 31};
    const Matrix values = random_matrix(offsets.back(), 384, seed, type);
    const Matrix expected = reference::pool(values, offsets, ops::Pooling::mean);
    const Tensor input = run.input(values, type), output = run.output(3, 384);
    ops::pool_forward(run.plan(), "selftest", output, input, run.input(offsets), ops::Pooling::mean);
    run.execute();
    return worst(run.result(output), expected,
                 [&](uint32_t, uint32_t) { return roundoff(Type::fp32) * (offsets.back() + 2); });
}

static double check_normalize(OpRun& run, uint64_t seed) {
    const Matrix values = random_matrix(5, 384, seed);
    const Matrix expected = reference::normalize_rows(values);
    const Tensor input = run.input(values), output = run.output(5, 384);
    ops::normalize_rows(run.plan(), "selftest", output, input);
    run.execute();
    return worst(run.result(output), expected, [&](uint32_t row, uint32_t column) {
        return 16 * roundoff(Type::fp32) * std::fabs(expected(row, column));
    });
}

/// Copies and conversions are exact: any difference is a mismatch.
static double exact(uint32_t, uint32_t) {
    return 0;
}

static double check_gather(OpRun& run, uint64_t seed, Type from, Type to) {
    const std::vector<uint32_t> rows{49, 0, 7, 7, 3};
    const Matrix values = random_matrix(50, 384, seed, from);
    const Tensor input = run.input(values, from), output = run.output(5, 384, to);
    ops::gather_rows(run.plan(), "selftest", output, input, run.input(rows));
    run.execute();
    return worst(run.result(output), reference::gather(values, rows), exact);
}

static double check_cast(OpRun& run, uint64_t seed, Type from) {
    const Type to = from == Type::fp32 ? Type::fp16 : Type::fp32;
    const Matrix values = random_matrix(37, 68, seed, from, 3);
    const Tensor input = run.input(values, from), output = run.output(37, 68, to);
    ops::cast(run.plan(), "selftest", output, input);
    run.execute();
    return worst(run.result(output), test::rounded(values, Type::fp16), exact);
}

static double check_softmax(OpRun& run, uint64_t seed) {
    const Matrix values = random_matrix(3, 1003, seed, Type::fp32, 10);
    const Matrix expected = reference::softmax(values);
    const Tensor input = run.input(values), output = run.output(3, 1003);
    ops::softmax_forward(run.plan(), "selftest", output, input);
    run.execute();
    return worst(run.result(output), expected, [&](uint32_t row, uint32_t column) {
        return 8 * roundoff(Type::fp32) * 36 * expected(row, column) + 1e-37;
    });
}

static double check_top_k(OpRun& run, uint64_t seed) {
    constexpr uint32_t k = 13;
    const Matrix values = random_matrix(2, 1009, seed);
    const Tensor input = run.input(values), best = run.output(2, k), indices = run.output(2, k, Type::uint32);
    ops::top_k(run.plan(), "selftest", best, indices, input);
    run.execute();
    std::vector<uint32_t> expected;
    for (uint32_t row = 0; row < 2; ++row) {
        std::vector<uint32_t> order(values.columns);
        std::iota(order.begin(), order.end(), 0u);
        std::ranges::stable_sort(order,
                                 [&](uint32_t a, uint32_t b) { return values(row, a) > values(row, b); });
        expected.insert(expected.end(), order.begin(), order.begin() + k);
    }
    return run.result_integers(indices) == expected ? 0 : INFINITY;
}

void add_for_types(std::vector<Check>& checks, std::string_view op, std::span<const Kernel> (*kernels)(Type),
                   double (*check)(OpRun&, uint64_t, Type)) {
    for (const Type type : {Type::fp32, Type::fp16})
        checks.push_back({op, name_of(type), type == Type::fp16, kernels(type),
                          [check, type](OpRun& run, uint64_t seed) { return check(run, seed, type); }});
}

std::vector<Check> all_checks() {
    std::vector<Check> checks;
    add_for_types(checks, "matmul", ops::matmul_kernels, check_matmul);
    add_for_types(checks, "attention_forward", ops::attention_forward_kernels, check_attention);
    add_for_types(checks, "layernorm_forward", ops::layernorm_forward_kernels, check_layernorm);
    add_for_types(checks, "embedding_forward", ops::embedding_forward_kernels, check_embedding);
    add_for_types(checks, "pool_forward", ops::pool_forward_kernels, check_pool);
    for (const Type type : {Type::fp32, Type::fp16}) {
        const bool half = type == Type::fp16;
        checks.push_back({"cast", half ? "fp16 to fp32" : "fp32 to fp16", true, ops::cast_kernels(type),
                          [type](OpRun& run, uint64_t seed) { return check_cast(run, seed, type); }});
        for (const Type to : {Type::fp32, Type::fp16})
            if (half || to == Type::fp32)
                checks.push_back({"gather_rows", half ? to == type ? "fp16" : "fp16 to fp32" : "fp32", half,
                                  ops::gather_rows_kernels(type, to), [type, to](OpRun& run, uint64_t seed) {
                                      return check_gather(run, seed, type, to);
                                  }});
    }
    checks.push_back({"normalize_rows", "fp32", false, ops::normalize_rows_kernels(), check_normalize});
    checks.push_back({"softmax_forward", "fp32", false, ops::softmax_forward_kernels(), check_softmax});
    checks.push_back({"top_k", "fp32", false, ops::top_k_kernels(), check_top_k});
    add_gradient_checks(checks);
    add_training_checks(checks);
    return checks;
}

}  // namespace vkbert::tools
