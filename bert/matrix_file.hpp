// One fp32 matrix written row by row, its number of rows known only at the end: .npy or .safetensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "runtime/files.hpp"

namespace vkbert {

enum class MatrixFormat : uint8_t {
    npy,          // https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0
    safetensors,  // one tensor, "embeddings"
};

/// (rows, columns) fp32; the file appears under its name only when complete.
class MatrixFile {
  public:
    /// Errors (failed): whatever the file system says, with the path.
    MatrixFile(const std::filesystem::path& path, uint64_t columns, MatrixFormat format);
    /// Whole rows. Errors: invalid_argument for parts of rows.
    void append(std::span<const float> rows);
    void finish();
    uint64_t rows() const { return rows_; }

  private:
    AtomicFile file_;
    uint64_t columns_, rows_ = 0;
    MatrixFormat format_;
};

}  // namespace vkbert
