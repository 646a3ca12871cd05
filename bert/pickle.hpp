// A pickle machine for torch state dicts. It builds a description of the tensors and runs nothing: opcodes
// and globals beyond what state dicts need are refused by name. Source: CPython's Lib/pickletools.py
// (opcodes); torch/_utils.py and torch/serialization.py (what state dicts hold).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/stored_tensor.hpp"

namespace vkbert {

/// A tensor of a state dict before its storage has been looked up.
struct PickledTensor {
    std::string name;
    DataType type = DataType::f32;
    std::string_view storage;       // the storage's key: archive/data/<key>; points into the pickle
    uint64_t storage_elements = 0;  // the storage's length
    uint64_t first = 0;             // the first element in the storage
    std::vector<uint64_t> shape, strides;
};

/// The tensors of the dict that `pickle` builds; values that are not tensors are left out.
/// Errors (invalid_input) begin with `name`.
std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle, std::string_view name);

}  // namespace vkbert
