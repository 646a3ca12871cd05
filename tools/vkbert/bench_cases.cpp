#include "tools/vkbert/bench_cases.hpp"

#include <algorithm>

#include "runtime/error.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/ops/tables.hpp"

namespace vkbert::tools {

Tensor BenchScene::matrix(uint32_t rows, uint32_t columns, Type type) {
    const Tensor tensor = plan.persistent("matrix", rows, columns, type);
    matrices[tensor.storage] = type;
    return tensor;
}

Tensor BenchScene::activations(uint32_t rows, uint32_t columns, Type type) {
    return matrix(rows, plan.activation_pitch(columns, type), type).columns_at(0, columns);
}

Tensor BenchScene::integers(std::vector<uint32_t> values, uint32_t columns) {
    const Tensor tensor =
        plan.persistent("integers", uint32_t(values.size()) / columns, columns, Type::uint32);
    tables[tensor.storage] = std::move(values);
    return tensor;
}

Tensor BenchScene::listed(std::vector<uint32_t> values, uint32_t columns) {
    const auto count = uint32_t(values.size()) / columns;
    const Extent rows = plan.symbol("listed", std::max(1u, count));
    extents.emplace_back(rows, count);
    const Tensor tensor = plan.persistent("listed", rows, columns, Type::uint32);
    values.resize(uint64_t(rows.capacity) * columns);
    tables[tensor.storage] = std::move(values);
    return tensor;
}

namespace {

using Cases = std::vector<BenchCase>;

/// --rows, else --batch times --length, else the kernel's own.
std::vector<uint32_t> rows_of(const BenchShapes& shapes, std::vector<uint32_t> usual) {
    if (!shapes.rows.empty()) return shapes.rows;
    if (shapes.batch) return {shapes.batch->tokens()};
    return usual;
}

std::vector<BenchBatch> batches_of(const BenchShapes& shapes, const char* kernel,
                                   std::vector<BenchBatch> usual) {
    if (!shapes.rows.empty())
        fail(ErrorCode::invalid_argument, "--rows: {} works on sequences; give --batch and --length", kernel);
    if (shapes.batch) return {*shapes.batch};
    return usual;
}

/// 0, length, 2 length, ...
std::vector<uint32_t> offsets_of(const BenchBatch& batch) {
    std::vector<uint32_t> offsets;
    for (uint32_t s = 0; s <= batch.sequences; ++s) offsets.push_back(s * batch.length);
    return offsets;
}

/// The first of the table.
std::span<const Kernel> kernels_for_strips() {
    const std::span<const Kernel> all = ops::matmul_kernels(Type::fp32);
    const ops::MatmulProblem problem{.m = 1, .n = 16, .k = 64, .b_in_strips = true};
    return {all.begin(),
            std::ranges::find_if(all, [&](const Kernel& k) { return !ops::supports(k, {}, problem); })};
}

/// Y(M,N) = X(M,K) W(N,K)^T + b, and its gradients: dX(M,K) = dY(M,N) W(N,K) and dW(N,K) = dY(M,N)^T X(M,K).
Cases matmul_cases(const BenchShapes& shapes, ops::Orientation orientation, bool strips = false) {
    const std::span<const Kernel> variants = strips ? kernels_for_strips() : ops::matmul_kernels(shapes.type);
    const uint32_t H = shapes.config.hidden_size, F = shapes.config.intermediate_size;
    std::vector<BenchShapes::Weights> weights{{H, H}, {3 * H, H}, {F, H}, {H, F}};
    if (shapes.weights) weights = {*shapes.weights};
    Cases cases;
    for (const uint32_t m : rows_of(shapes, {1024, 128}))
        for (const BenchShapes::Weights w : weights)
            cases.push_back(
                {fmt::format("M={} N={} K={}", m, w.n, w.k), shapes.type, variants,
                 [=, type = shapes.type](BenchScene& s) {
                     const ops::Strips packed = ops::strips_of(w.n, w.k);
                     const Tensor x = s.activations(m, w.k, type),
                                  weight = strips ? s.matrix(packed.rows, packed.columns)
                                                  : s.matrix(w.n, w.k, type),
                                  y = s.activations(m, (w.n + 3) / 4 * 4, type).columns_at(0, w.n);
                     const Tensor bias = s.matrix(1, w.n);
                     if (orientation == ops::Orientation::nt)
                         ops::matmul(s.plan, "matmul", y, x, weight, {.bias = &bias, .b_in_strips = strips});
                     else if (orientation == ops::Orientation::nn)
                         ops::matmul(s.plan, "matmul", x, y, weight, {.orientation = orientation});
                     else
                         ops::matmul(s.plan, "matmul", s.matrix(w.n, w.k), y, x,
                                     {.orientation = orientation});
                 }});
    return cases;
}

Cases forward_cases(const BenchShapes& shapes) {
    return matmul_cases(shapes, ops::Orientation::nt);
}
Cases strips_cases(const BenchShapes& shapes) {
    if (shapes.type != Type::fp32)
        fail(ErrorCode::invalid_argument, "matmul-strips: weights are kept in strips in fp32 alone");
    return matmul_cases(shapes, ops::Orientation::nt, true);
}
Cases input_gradient_cases(const BenchShapes& shapes) {
    return matmul_cases(shapes, ops::Orientation::nn);
}
Cases weight_gradient_cases(const BenchShapes& shapes) {
    return matmul_cases(shapes, ops::Orientation::tn);
}

Cases attention_cases(const BenchShapes& shapes) {
    const uint32_t H = shapes.config.hidden_size, A = shapes.config.num_attention_heads;
    Cases cases;
    for (const BenchBatch batch : batches_of(shapes, "attention", {{8, 128}, {2, 512}, {40, 24}, {1, 25}}))
        cases.push_back(
            {fmt::format("{} x {} tokens, {} heads of {}", batch.sequences, batch.length, A, H / A),
             shapes.type, ops::attention_forward_kernels(shapes.type),
             [=, type = shapes.type](BenchScene& s) {
                 std::vector<uint32_t> tiles;
                 for (const ops::AttentionTile& t : ops::attention_tiles(offsets_of(batch)))
                     tiles.insert(tiles.end(), {t.row, t.rows, t.first, t.length});
                 const Tensor output = s.activations(batch.tokens(), H, type),
                              qkv = s.activations(batch.tokens(), 3 * H, type);
                 ops::attention_forward(s.plan, "attention", output, qkv, s.integers(tiles, 4),
                                        {.heads = A, .pairs = batch.tokens() * batch.length});
             }});
    return cases;
}

Cases layernorm_cases(const BenchShapes& shapes) {
    const uint32_t H = shapes.config.hidden_size;
    Cases cases;
    for (const uint32_t rows : rows_of(shapes, {1024}))
        cases.push_back({fmt::format("{} x {}", rows, H), shapes.type,
                         ops::layernorm_forward_kernels(shapes.type), [=, type = shapes.type](BenchScene& s) {
                             const Tensor y = s.activations(rows, H, type), x = s.activations(rows, H, type);
                             const Tensor gamma = s.matrix(1, H), beta = s.matrix(1, H);
                             ops::layernorm_forward(s.plan, "layernorm", y, x, gamma, beta);
                         }});
    return cases;
}

Cases embedding_cases(const BenchShapes& shapes) {
    const Config& c = shapes.config;
    const uint32_t H = c.hidden_size, V = c.vocab_size, P = c.max_position_embeddings,
                   types = c.type_vocab_size;
    Cases cases;
    for (const uint32_t tokens : rows_of(shapes, {1024}))
        cases.push_back({fmt::format("{} tokens, {} words x {}", tokens, V, H), shapes.type,
                         ops::embedding_forward_kernels(shapes.type), [=, type = shapes.type](BenchScene& s) {
                             std::vector<uint32_t> ids(tokens), positions(tokens);
                             for (uint32_t i = 0; i < tokens; ++i) {
                                 ids[i] = static_cast<uint32_t>(uint64_t(i) * 7919 % V);
                                 positions[i] = i % std::min(128u, P);
                             }
                             const Tensor id = s.integers(ids), position = s.integers(positions),
                                          segment = s.integers(std::vector<uint32_t>(tokens));
                             const ops::EmbeddingTables tables{s.matrix(V, H, type), s.matrix(P, H, type),
                                                               s.matrix(types, H, type)};
                             ops::embedding_forward(s.plan, "embedding", s.activations(tokens, H, type), id,
                                                    position, segment, tables);
                         }});
    return cases;
}

Cases pool_cases(const BenchShapes& shapes) {
    const uint32_t H = shapes.config.hidden_size;
    Cases cases;
    for (const BenchBatch batch : batches_of(shapes, "pool", {{8, 128}}))
        cases.push_back({fmt::format("{} x {} tokens x {}, mean", batch.sequences, batch.length, H),
                         shapes.type, ops::pool_forward_kernels(shapes.type),
                         [=, type = shapes.type](BenchScene& s) {
                             const Tensor output = s.matrix(batch.sequences, H),
                                          input = s.activations(batch.tokens(), H, type);
                             ops::pool_forward(s.plan, "pool", output, input, s.integers(offsets_of(batch)),
                                               ops::Pooling::mean);
                         }});
    return cases;
}

Cases softmax_cases(const BenchShapes& shapes) {
    const uint32_t V = shapes.config.vocab_size;
    Cases cases;
    for (const uint32_t rows : rows_of(shapes, {64}))
        cases.push_back(
            {fmt::format("{} x {}", rows, V), Type::fp32, ops::softmax_forward_kernels(), [=](BenchScene& s) {
                 const Tensor y = s.matrix(rows, V), x = s.matrix(rows, V);
                 ops::softmax_forward(s.plan, "softmax", y, x);
             }});
    return cases;
}

Cases top_k_cases(const BenchShapes& shapes) {
    const uint32_t V = shapes.config.vocab_size, k = std::min(5u, V);
    Cases cases;
    for (const uint32_t rows : rows_of(shapes, {64}))
        cases.push_back(
            {fmt::format("{} of {} x {}", k, rows, V), Type::fp32, ops::top_k_kernels(), [=](BenchScene& s) {
                 const Tensor indices = s.integers(std::vector<uint32_t>(size_t(rows) * k), k);
                 ops::top_k(s.plan, "top-k", s.matrix(rows, k), indices, s.matrix(rows, V));
             }});
    return cases;
}

constexpr BenchKernel kernels[] = {
    {"matmul", forward_cases},
    {"matmul-dx", input_gradient_cases},
    {"matmul-dw", weight_gradient_cases},
    {"attention", attention_cases},
    {"layernorm", layernorm_cases},
    {"embedding", embedding_cases},
    {"pool", pool_cases},
    {"softmax", softmax_cases},
    {"adamw", adamw_cases},
    {"gradient-norm", gradient_norm_cases},
    {"layernorm-backward", layernorm_backward_cases},
    {"embedding-backward", embedding_backward_cases},
    {"top-k", top_k_cases},
    {"matmul-strips", strips_cases},
};

}  // namespace

std::span<const BenchKernel> bench_kernels() {
    return kernels;
}

const BenchKernel& find_bench_kernel(std::string_view name) {
    std::string names;
    for (const BenchKernel& kernel : kernels) {
        if (kernel.name == name) return kernel;
        names += (names.empty() ? "" : ", ") + std::string(kernel.name);
    }
    fail(ErrorCode::invalid_argument, "bench: there is no kernel '{}'; there are {}", name, names);
}

}  // namespace vkbert::tools
