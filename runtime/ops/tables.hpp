// The variant table of each op, for all_kernels(). Best variant first; one table a type where an op has more
// than one.
#pragma once

#include <span>

#include "runtime/ops.hpp"

namespace vkbert::ops {

std::span<const Kernel> activation_backward_kernels(Type type);
std::span<const Kernel> adamw_kernels();
std::span<const Kernel> attention_backward_kernels(Type type);
std::span<const Kernel> attention_forward_kernels(Type type);
std::span<const Kernel> cast_kernels(Type from);
std::span<const Kernel> column_sums_kernels(Type type);
std::span<const Kernel> cross_entropy_kernels();
std::span<const Kernel> dropout_kernels(Type type);
std::span<const Kernel> embedding_backward_kernels(Type type);
std::span<const Kernel> embedding_forward_kernels(Type type);
std::span<const Kernel> fill_kernels();
std::span<const Kernel> gather_rows_kernels(Type from, Type to);
std::span<const Kernel> gradient_norm_finish_kernels();
std::span<const Kernel> gradient_norm_kernels();
std::span<const Kernel> layernorm_backward_kernels(Type type);
std::span<const Kernel> layernorm_backward_columns_kernels(Type type);
std::span<const Kernel> layernorm_forward_kernels(Type type);
std::span<const Kernel> matmul_kernels(Type type);
std::span<const Kernel> mean_squared_error_kernels();
std::span<const Kernel> normalize_rows_kernels();
std::span<const Kernel> pool_forward_kernels(Type type);
std::span<const Kernel> scatter_rows_kernels(Type from, Type to);
std::span<const Kernel> segment_cross_entropy_kernels();
std::span<const Kernel> softmax_forward_kernels();
std::span<const Kernel> top_k_kernels();
std::span<const Kernel> matmul_pack_kernels();
std::span<const Kernel> transpose_kernels(Type type);

}  // namespace vkbert::ops
