// One fp32 matrix written row by row, its number of rows known only at the end: .npy or .safetensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "runtime/files.hpp"

namespace vkbert {

enum class MatrixFormat : uint8_t {
    npy,          // https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0
    safetensors,  // tensor "embeddings", and "tokens" where rows are tokens of texts
};

/// (rows, columns) fp32; the file appears under its name only when complete.
class MatrixFile {
  public:
    /// Errors (failed): whatever the file system says, with the path.
    MatrixFile(const std::filesystem::path& path, MatrixFormat format);
    /// Whole rows of `columns`. Errors: invalid_argument for parts of rows, and for another width than the
    /// first rows'.
    void append(std::span<const float> rows, uint64_t columns);
    /// lengths: how many rows each text has; an int64 tensor in safetensors, nothing in npy.
    void finish(std::span<const uint64_t> lengths = {});
    uint64_t rows() const { return rows_; }

  private:
    std::string npy_header() const;
    std::string safetensors_header(uint64_t lengths) const;

    AtomicFile file_;
    uint64_t columns_ = 0, rows_ = 0;
    MatrixFormat format_;
};

}  // namespace vkbert
