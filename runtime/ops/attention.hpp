// What the forward and the backward pass of attention share.
#pragma once

#include <string>
#include <string_view>

#include "runtime/ops.hpp"

namespace vkbert::ops {

/// The variants for CPU drivers: a lane a query row or a key row, without a barrier.
inline constexpr Requirements attention_pointer_needs{
    .invocations = 16, .buffer_device_address = true, .scalar_pointer_loads = true, .cpu_only = true};
inline constexpr Requirements attention_texel_needs{
    .invocations = 8, .min_subgroup_size = 4, .subgroup_quad = true, .texel_buffers = true, .cpu_only = true};
/// Of a tiled variant on every Vulkan device.
inline constexpr uint32_t attention_least_shared_memory = 16384;

/// How a variant on matrix cores cuts its rows: a subgroup owns as many as a matrix has.
struct AttentionMatrices {
    std::string_view name;
    MatrixShape shape;
    uint32_t subgroup_size, subgroups;
};
/// Shapes as drivers have them: NVIDIA and AMD (RDNA 3 on) 16 x 16 x 16, Intel (Xe2) 8 x 16 x 16, llvmpipe 8
/// x 8 x 8.
inline constexpr AttentionMatrices attention_matrices[] = {
    {"matrix_16", {16, 16, 16}, 32, 4}, {"matrix_8x16", {8, 16, 16}, 16, 8}, {"matrix_8", {8, 8, 8}, 8, 4}};
/// The widest heads that fit 32 KiB of shared memory on matrix cores.
constexpr uint32_t widest_matrix_head(const MatrixShape& shape) {
    return shape.m < shape.n ? 64 : 128;
}

/// The widest heads for which such a variant of a pass is chosen, by the rows of its matrices: with wider
/// ones compilers spill (tools/lab/COMPILERS.md). 0: none.
struct WidestMatrixHeads {
    uint32_t of_16_rows, of_8_rows;
};

Kernel attention_matrix_kernel(std::string_view op, const AttentionMatrices& matrices, const Shader& shader,
                               uint32_t shared_memory, size_t bindings);
/// The constants SUBGROUPS, MM, MN and MK of such a variant.
std::vector<uint32_t> attention_matrix_constants(const Kernel& kernel);

/// Whether a variant can do heads of this size on a device that satisfies its requirements.
bool supports_attention(const Kernel& kernel, uint32_t head_size);
/// The forced variant where it can do these heads (of a pass with both types, what is forced may be one of
/// the other type's alone), else the best. Matrices are for GPUs alone, unless forced.
const Kernel& choose_attention(const Plan& plan, std::span<const Kernel> (*kernels)(Type), Type type,
                               const std::vector<Binding>& bindings, uint32_t head_size,
                               const WidestMatrixHeads& widest);

/// Checks output (T,H), qkv (T,3H), tiles, the number of heads and their size. Throws invalid_argument naming
/// the label and the op.
void check_attention(const std::string& label, std::string_view op, const Tensor& output, const Tensor& qkv,
                     const Tensor& tiles, uint32_t heads);

/// Whether the tensor is logsumexp's (T,A) fp32, without gaps, for an output (T,H).
bool is_per_head(const Tensor& tensor, const Tensor& output, uint32_t heads);

/// vec4s that cover a head, wherever it begins.
constexpr uint32_t words_of_head(uint32_t head_size) {
    return head_size % 4 == 0 ? head_size / 4 : (head_size + 6) / 4;
}

/// log2(e) / sqrt(D): the shaders keep scores in powers of two.
float attention_scale(uint32_t head_size);

}  // namespace vkbert::ops
