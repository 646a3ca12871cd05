// pytorch_model.bin as torch.save writes it since PyTorch 1.6: a zip archive of stored entries, one of them a
// pickle.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "bert/stored_tensor.hpp"

namespace vkbert {

/// The tensors of a state dict saved by torch.save, which lies in memory. Nothing in the file is executed:
/// the pickle is read by a machine that knows the opcodes and globals a state dict needs and refuses every
/// other by name. Tensors may share storage. Entries of the dict that are not tensors are left out. Errors
/// (invalid_input, unsupported for the format before PyTorch 1.6) begin with `name`.
std::vector<StoredTensor> parse_torch_file(std::span<const std::byte> bytes, std::string_view name);

}  // namespace vkbert
