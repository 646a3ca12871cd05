// The ops that only training needs, at the shapes that a model gives them.
#include <fmt/format.h>

#include <cstring>

#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "runtime/training_scalars.hpp"
#include "tools/vkbert/bench_cases.hpp"

namespace vkbert::tools {

namespace {

Tensor scalars_of(BenchScene& s) {
    const TrainingScalars scalars = initial_training_scalars();
    std::vector<uint32_t> words(training_scalars_words);
    std::memcpy(words.data(), &scalars, sizeof scalars);
    return s.integers(std::move(words), training_scalars_words);
}

/// Parameters of one layer, 4 H^2 + 2 H F: what is large beside a cache, and fits beside three like it.
uint32_t parameters_of(const BenchShapes& shapes) {
    const uint32_t H = shapes.config.hidden_size, F = shapes.config.intermediate_size;
    return 4 * H * H + 2 * H * F;
}

uint32_t tokens_of(const BenchShapes& shapes) {
    return !shapes.rows.empty() ? shapes.rows.front() : shapes.batch ? shapes.batch->tokens() : 1024;
}

}  // namespace

std::vector<BenchCase> adamw_cases(const BenchShapes& shapes) {
    const uint32_t n = parameters_of(shapes);
    return {{fmt::format("{} parameters", n), Type::fp32, ops::adamw_kernels(), [=](BenchScene& s) {
                 const Tensor weights = s.matrix(1, n), gradient = s.matrix(1, n), first = s.matrix(1, n),
                              second = s.matrix(1, n);
                 ops::adamw(s.plan, "adamw", weights, gradient, first, second, scalars_of(s));
             }}};
}

std::vector<BenchCase> gradient_norm_cases(const BenchShapes& shapes) {
    const uint32_t n = parameters_of(shapes);
    return {{fmt::format("{} parameters", n), Type::fp32, ops::gradient_norm_kernels(), [=](BenchScene& s) {
                 ops::gradient_norm(s.plan, "gradient norm", scalars_of(s), {s.matrix(1, n)});
             }}};
}

std::vector<BenchCase> layernorm_backward_cases(const BenchShapes& shapes) {
    const uint32_t H = shapes.config.hidden_size, rows = tokens_of(shapes);
    return {{fmt::format("{} x {}", rows, H), shapes.type, ops::layernorm_backward_kernels(shapes.type),
             [=, type = shapes.type](BenchScene& s) {
                 const Tensor d_x = s.activations(rows, H, type), d_y = s.activations(rows, H, type),
                              x = s.activations(rows, H, type), sums = s.matrix(1, 2 * H),  // as in a model
                     d_gamma = sums.columns_at(0, H), d_beta = sums.columns_at(H, H), gamma = s.matrix(1, H),
                              mean = s.matrix(rows, 1), rstd = s.matrix(rows, 1);
                 ops::layernorm_backward(s.plan, "layernorm backward", d_x, d_gamma, d_beta, d_y, x, gamma,
                                         mean, rstd);
             }}};
}

std::vector<BenchCase> embedding_backward_cases(const BenchShapes& shapes) {
    const uint32_t H = shapes.config.hidden_size, V = shapes.config.vocab_size, tokens = tokens_of(shapes);
    return {{fmt::format("{} tokens, {} words x {}", tokens, V, H), shapes.type,
             ops::embedding_backward_kernels(shapes.type), [=, type = shapes.type](BenchScene& s) {
                 std::vector<uint32_t> ids(tokens);
                 for (uint32_t i = 0; i < tokens; ++i) ids[i] = uint32_t(uint64_t(i) * 7919 % V);
                 const ops::EmbeddingBuckets buckets = ops::embedding_buckets(ids);
                 const auto pieces = [&](const std::vector<ops::EmbeddingPiece>& list) {
                     std::vector<uint32_t> words;
                     for (const ops::EmbeddingPiece& p : list)
                         words.insert(words.end(), {p.first, p.count, p.row, p.partial});
                     return s.listed(std::move(words), 4);
                 };
                 ops::embedding_backward(
                     s.plan, "embedding backward", s.matrix(V, H), s.activations(tokens, H, type),
                     {s.integers(buckets.order), pieces(buckets.pieces), pieces(buckets.sums)});
             }}};
}

}  // namespace vkbert::tools
