// The checks of the ops that only training needs.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "tools/selftest/checks.hpp"
#include "tools/selftest/reference_training.hpp"

namespace vkbert::tools {

using test::Matrix;
using test::random_matrix;
using test::roundoff;
namespace reference = test::reference;

static Tensor input_scalars(OpRun& run, const TrainingScalars& scalars) {
    std::vector<uint32_t> words(training_scalars_words);
    std::memcpy(words.data(), &scalars, sizeof scalars);
    return run.input(words, training_scalars_words);
}

static double check_layernorm_backward(OpRun& run, uint64_t seed, Type type) {
    const Matrix x = random_matrix(37, 384, seed, type), d_y = random_matrix(37, 384, seed + 1, type);
    const Matrix gamma = random_matrix(1, 384, seed + 2), zeros(1, 384);
    const reference::LayerNorm forward = reference::layernorm(x, gamma, gamma, 1e-12);
    const reference::LayerNormGradients expected = reference::layernorm_backward(d_y, x, gamma, 1e-12);
    const Tensor d_x = run.output(37, 384, type), d_gamma = run.input(zeros), d_beta = run.input(zeros);
    ops::layernorm_backward(run.plan(), "selftest", d_x, d_gamma, d_beta, run.input(d_y, type),
                            run.input(x, type), run.input(gamma), run.input(forward.mean),
                            run.input(forward.rstd));
    run.execute();
    // Elements are at most 1, rstd is near sqrt(3) and normalized elements are below 3.
    const double rows = worst(run.result(d_x), expected.d_x, [&](uint32_t row, uint32_t column) {
        return 12 * roundoff(Type::fp32) * 25 + roundoff(type) * std::fabs(expected.d_x(row, column));
    });
    const auto sums = [](uint32_t, uint32_t) { return 16 * roundoff(Type::fp32) * 37 * 3; };
    return std::max({rows, worst(run.result(d_gamma), expected.d_gamma, sums),
                     worst(run.result(d_beta), expected.d_beta, sums)});
}

static double check_embedding_backward(OpRun& run, uint64_t seed, Type type) {
    std::vector<uint32_t> ids(131, 3), words;
    for (uint32_t t = 0; t < ids.size(); t += 5) ids[t] = t % 7;
    const Matrix d_sum = random_matrix(uint32_t(ids.size()), 68, seed, type);
    const ops::EmbeddingBuckets buckets = ops::embedding_buckets(ids);
    const auto pieces = [&](const std::vector<ops::EmbeddingPiece>& list) {
        words.clear();
        for (const ops::EmbeddingPiece& p : list)
            words.insert(words.end(), {p.first, p.count, p.row, p.partial});
        return run.input(words, 4);
    };
    const Tensor table = run.input(Matrix(8, 68));
    ops::embedding_backward(run.plan(), "selftest", table, run.input(d_sum, type),
                            {run.input(buckets.order), pieces(buckets.pieces), pieces(buckets.sums)});
    run.execute();
    return worst(run.result(table), reference::embedding_backward(d_sum, ids, 8),
                 [&](uint32_t, uint32_t) { return roundoff(Type::fp32) * double(ids.size()); });
}

/// Of losses and gradients of logits within [-10, 10].
static double worst_loss(OpRun& run, const Tensor& loss, const Tensor& gradient,
                         const reference::Loss& expected) {
    const auto tolerance = [](uint32_t, uint32_t) { return 1024 * roundoff(Type::fp32); };
    return std::max(worst(run.result(loss), expected.loss, tolerance),
                    worst(run.result(gradient), expected.gradient, tolerance));
}

static double check_cross_entropy(OpRun& run, uint64_t seed) {
    const Matrix logits = random_matrix(3, 1003, seed, Type::fp32, 10);
    const std::vector<uint32_t> labels{1002, ops::ignored_label, 0};
    const Tensor loss = run.output(3, 1), gradient = run.output(3, 1003);
    ops::cross_entropy(run.plan(), "selftest", loss, gradient, run.input(logits), run.input(labels),
                       input_scalars(run, initial_training_scalars()));
    run.execute();
    return worst_loss(run, loss, gradient, reference::cross_entropy(logits, labels, 1));
}

static double check_segment_cross_entropy(OpRun& run, uint64_t seed) {
    const Matrix logits = random_matrix(90, 2, seed, Type::fp32, 10);
    const std::vector<uint32_t> offsets{0, 7, 90}, labels{6, 0, 82, 100};
    const Tensor loss = run.output(2, 2), gradient = run.output(90, 2);
    ops::segment_cross_entropy(run.plan(), "selftest", loss, gradient, run.input(logits), run.input(offsets),
                               run.input(labels, 2), input_scalars(run, initial_training_scalars()));
    run.execute();
    return worst_loss(run, loss, gradient, reference::segment_cross_entropy(logits, offsets, labels, 1));
}

static double check_mean_squared_error(OpRun& run, uint64_t seed) {
    const Matrix predictions = random_matrix(67, 1, seed), targets = random_matrix(67, 1, seed + 1);
    const Tensor loss = run.output(67, 1), gradient = run.output(67, 1);
    ops::mean_squared_error(run.plan(), "selftest", loss, gradient, run.input(predictions),
                            run.input(targets), input_scalars(run, initial_training_scalars()));
    run.execute();
    return worst_loss(run, loss, gradient, reference::mean_squared_error(predictions, targets, 1));
}

/// A first step of AdamW on a gradient that is clipped.
static double check_optimizer(OpRun& run, uint64_t seed) {
    constexpr uint32_t size = 20004;
    TrainingScalars scalars = initial_training_scalars();
    scalars.learning_rate = 0.01f;
    const Matrix zeros(1, size), gradient = random_matrix(1, size, seed + 1);
    std::vector<reference::OptimizerGroup> groups{{random_matrix(1, size, seed), zeros, zeros}};
    const Tensor weights = run.input(groups[0].weights), gradients = run.input(gradient),
                 scalar_tensor = input_scalars(run, scalars);
    ops::gradient_norm(run.plan(), "selftest", scalar_tensor, {gradients});
    ops::adamw(run.plan(), "selftest", weights, gradients, run.input(zeros), run.input(zeros), scalar_tensor);
    run.execute();
    reference::optimizer_step(scalars, groups, {gradient});
    return worst(run.result(weights), groups[0].weights,
                 [](uint32_t, uint32_t) { return 4 * roundoff(Type::fp32); });
}

void add_training_checks(std::vector<Check>& checks) {
    add_for_types(checks, "layernorm_backward", ops::layernorm_backward_kernels, check_layernorm_backward);
    add_for_types(checks, "layernorm_backward_columns", ops::layernorm_backward_columns_kernels,
                  check_layernorm_backward);
    add_for_types(checks, "embedding_backward", ops::embedding_backward_kernels, check_embedding_backward);
    const auto add = [&](std::string_view op, std::span<const Kernel> kernels,
                         double (*check)(OpRun&, uint64_t)) {
        checks.push_back({op, "fp32", false, kernels, check});
    };
    add("cross_entropy", ops::cross_entropy_kernels(), check_cross_entropy);
    add("segment_cross_entropy", ops::segment_cross_entropy_kernels(), check_segment_cross_entropy);
    add("mean_squared_error", ops::mean_squared_error_kernels(), check_mean_squared_error);
    add("gradient_norm", ops::gradient_norm_kernels(), check_optimizer);
    add("gradient_norm_finish", ops::gradient_norm_finish_kernels(), check_optimizer);
    add("adamw", ops::adamw_kernels(), check_optimizer);
}

}  // namespace vkbert::tools
