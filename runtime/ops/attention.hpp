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

/// Checks output (T,H), qkv (T,3H), tiles, the number of heads and their size. Throws invalid_argument naming
/// the label and the op.
void check_attention(const std::string& label, std::string_view op, const Tensor& output, const Tensor& qkv,
                     const Tensor& tiles, uint32_t heads);

/// Whether the tensor is logsumexp's (T,A) fp32, without gaps, for an output (T,H).
bool is_per_head(const Tensor& tensor, const Tensor& output, uint32_t heads);

/// log2(e) / sqrt(D): the shaders keep scores in powers of two.
float attention_scale(uint32_t head_size);

}  // namespace vkbert::ops
