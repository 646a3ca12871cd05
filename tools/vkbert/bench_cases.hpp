// What `vkbert bench KERNEL` times: ops at the shapes that a model gives them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/config.hpp"
#include "runtime/plan.hpp"

namespace vkbert::tools {

/// A plan under construction, and what its persistent tensors hold before a run.
class BenchScene {
  public:
    BenchScene(const Capabilities& capabilities, const KernelChoices& choices, const Tuning& tuning = {})
        : plan(capabilities, choices, tuning) {}

    /// (rows,columns) of numbers between a quarter and one, whether the op reads or overwrites them.
    Tensor matrix(uint32_t rows, uint32_t columns, Type type = Type::fp32);
    /// The same with the pitch that a model's activations have.
    Tensor activations(uint32_t rows, uint32_t columns, Type type = Type::fp32);
    /// (values / columns, columns) uint32.
    Tensor integers(std::vector<uint32_t> values, uint32_t columns = 1);
    /// The same of rows that a model's plan knows only when it runs; there may be none.
    Tensor listed(std::vector<uint32_t> values, uint32_t columns);

    Plan plan;
    std::vector<std::pair<Extent, uint32_t>> extents;  // and their values in a run
    std::map<StorageId, Type> matrices;
    std::map<StorageId, std::vector<uint32_t>> tables;
};

/// One op on one shape.
struct BenchCase {
    std::string title;  // "1024 x 768"
    Type type;          // that the variants belong to
    std::span<const Kernel> variants;
    std::function<void(BenchScene&)> append;  // the tensors and one call of the op

    std::string_view op() const { return variants.front().op; }
};

/// Packed sequences of one length.
struct BenchBatch {
    uint32_t sequences, length;
    uint32_t tokens() const { return sequences * length; }
};

/// Where to time. What is empty is filled by each kernel's own defaults.
struct BenchShapes {
    Config config;
    Type type = Type::fp32;
    std::vector<uint32_t> rows;  // of the matrix: tokens, or rows of logits
    std::optional<BenchBatch> batch;
    struct Weights {
        uint32_t n, k;
    };
    std::optional<Weights> weights;  // B(N,K) of matmul, in place of the model's four
};

/// Cases of the ops that only training needs (bench_training_cases.cpp).
std::vector<BenchCase> adamw_cases(const BenchShapes& shapes);
std::vector<BenchCase> gradient_norm_cases(const BenchShapes& shapes);
std::vector<BenchCase> layernorm_backward_cases(const BenchShapes& shapes);
std::vector<BenchCase> embedding_backward_cases(const BenchShapes& shapes);

/// A word that KERNEL may be, and its cases. Errors of `cases` (invalid_argument): shapes that say nothing
/// about the kernel, or that are too large.
struct BenchKernel {
    std::string_view name;
    std::vector<BenchCase> (*cases)(const BenchShapes& shapes);
};
std::span<const BenchKernel> bench_kernels();

/// Errors (invalid_argument): no such kernel; the message lists those that there are.
const BenchKernel& find_bench_kernel(std::string_view name);

}  // namespace vkbert::tools
