#include "runtime/ops.hpp"
#include "runtime/ops/tables.hpp"

namespace vkbert::ops {

std::vector<KernelTable> all_kernels() {
    using enum Type;
    return {
        {"activation_backward", activation_backward_kernels(fp32)},
        {"activation_backward", activation_backward_kernels(fp16)},
        {"adamw", adamw_kernels()},
        {"attention_backward", attention_backward_kernels(fp32)},
        {"attention_backward", attention_backward_kernels(fp16)},
        {"attention_forward", attention_forward_kernels(fp32)},
        {"attention_forward", attention_forward_kernels(fp16)},
        {"cast", cast_kernels(fp32)},
        {"cast", cast_kernels(fp16)},
        {"column_sums", column_sums_kernels(fp32)},
        {"column_sums", column_sums_kernels(fp16)},
        {"cross_entropy", cross_entropy_kernels()},
        {"dropout", dropout_kernels(fp32)},
        {"dropout", dropout_kernels(fp16)},
        {"embedding_backward", embedding_backward_kernels(fp32)},
        {"embedding_backward", embedding_backward_kernels(fp16)},
        {"embedding_forward", embedding_forward_kernels(fp32)},
        {"embedding_forward", embedding_forward_kernels(fp16)},
        {"fill", fill_kernels()},
        {"gather_rows", gather_rows_kernels(fp32, fp32)},
        {"gather_rows", gather_rows_kernels(fp16, fp16)},
        {"gather_rows", gather_rows_kernels(fp16, fp32)},
        {"gradient_norm", gradient_norm_kernels()},
        {"gradient_norm_finish", gradient_norm_finish_kernels()},
        {"layernorm_backward", layernorm_backward_kernels(fp32)},
        {"layernorm_backward", layernorm_backward_kernels(fp16)},
        {"layernorm_backward_columns", layernorm_backward_columns_kernels(fp32)},
        {"layernorm_backward_columns", layernorm_backward_columns_kernels(fp16)},
        {"layernorm_forward", layernorm_forward_kernels(fp32)},
        {"layernorm_forward", layernorm_forward_kernels(fp16)},
        {"matmul", matmul_kernels(fp32)},
        {"matmul", matmul_kernels(fp16)},
        {"mean_squared_error", mean_squared_error_kernels()},
        {"normalize_rows", normalize_rows_kernels()},
        {"pool_forward", pool_forward_kernels(fp32)},
        {"pool_forward", pool_forward_kernels(fp16)},
        {"scatter_rows", scatter_rows_kernels(fp32, fp32)},
        {"scatter_rows", scatter_rows_kernels(fp16, fp16)},
        {"scatter_rows", scatter_rows_kernels(fp32, fp16)},
        {"segment_cross_entropy", segment_cross_entropy_kernels()},
        {"softmax_forward", softmax_forward_kernels()},
        {"top_k", top_k_kernels()},
        {"matmul_pack", matmul_pack_kernels()},
        {"transpose", transpose_kernels(fp32)},
        {"transpose", transpose_kernels(fp16)},
    };
}

}  // namespace vkbert::ops
