// The safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors without gaps.
// Source: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/stored_tensor.hpp"
#include "runtime/files.hpp"

namespace vkbert {

/// The tensors of a safetensors file that lies in memory, in the order of their offsets; everything about it
/// is checked (header, types, shapes, offsets, no gap, no overlap, size), so that reading them cannot leave
/// `bytes`. Errors (invalid_input) begin with `name`.
std::vector<StoredTensor> parse_safetensors(std::span<const std::byte> bytes, std::string_view name);

/// Writes a safetensors file that appears under its name only when complete.
class SafetensorsWriter {
  public:
    /// Fixes what will be written: name, type and shape of each tensor are used, in this order, and
    /// `metadata`. Errors: invalid_argument for names given twice, failed from the file system.
    SafetensorsWriter(const std::filesystem::path& path, const std::vector<StoredTensor>& tensors,
                      const std::map<std::string, std::string>& metadata = {{"format", "pt"}});
    /// The next bytes of the tensors, row-major and in order, cut anywhere.
    void write(std::span<const std::byte> bytes) { file_.write(bytes); }
    void write(std::span<const float> values) { write(std::as_bytes(values)); }
    /// Makes the file appear. Errors: invalid_argument when not every byte has been written.
    void finish();

  private:
    AtomicFile file_;
    uint64_t size_ = 0;
};

}  // namespace vkbert
