// A matrix of floats written row by row to .npy or .safetensors, without holding it in memory.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/files.hpp"

namespace vkbert::tools {

/// Rows of equal length. The file appears under its name at finish(), and not at all without it. Errors
/// (failed): the path and what the system says.
class ArrayFile {
  public:
    /// format: "npy" (NumPy's format 1.0) or "safetensors" (tensor "embeddings").
    ArrayFile(const std::filesystem::path& path, const std::string& format);

    void write_row(std::span<const float> values);
    /// lengths: rows of each text, stored as the int64 tensor "tokens" in safetensors where rows are tokens.
    void finish(const std::vector<uint64_t>& lengths = {});

  private:
    std::string npy_header() const;
    std::string safetensors_header(size_t lengths) const;

    AtomicFile file_;
    bool npy_;
    uint64_t rows_ = 0, columns_ = 0;
};

}  // namespace vkbert::tools
