// What the forward and the backward pass of attention share.
#pragma once

#include <string>
#include <string_view>

#include "runtime/ops.hpp"

namespace vkbert::ops {

/// Checks output (T,H), qkv (T,3H), tiles, the number of heads and their size. Throws invalid_argument naming
/// the label and the op.
void check_attention(const std::string& label, std::string_view op, const Tensor& output, const Tensor& qkv,
                     const Tensor& tiles, uint32_t heads);

/// Whether the tensor is logsumexp's (T,A) fp32, without gaps, for an output (T,H).
bool is_per_head(const Tensor& tensor, const Tensor& output, uint32_t heads);

/// log2(e) / sqrt(D): the shaders keep scores in powers of two.
float attention_scale(uint32_t head_size);

}  // namespace vkbert::ops
