// A checkpoint: the tensors of one file, of several shards, or of a file that lies in memory, under one
// interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bert/stored_tensor.hpp"
#include "runtime/files.hpp"

namespace vkbert {

/// Read-only and mapped: opening reads headers only. Reading copies out and gives the file's pages back at
/// once, so that a pass over all tensors needs little memory beside its destination. Not to be truncated by
/// others while open.
class Checkpoint {
  public:
    /// `path` is a weights file, or a folder with (first found wins) model.safetensors,
    /// model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json. Errors (invalid_input)
    /// begin with the file's name.
    static Checkpoint open(const std::filesystem::path& path);
    /// A safetensors file in memory, which must outlive the checkpoint; `name` is for messages.
    static Checkpoint from_memory(std::span<const std::byte> bytes, std::string name);

    const std::vector<StoredTensor>& tensors() const { return tensors_; }
    /// nullptr where there is none.
    const StoredTensor* find(std::string_view name) const;
    /// The file that a tensor lies in, for messages.
    const std::string& file_of(const StoredTensor& tensor) const { return files_[tensor.file].name; }
    /// The file or index that was opened, for messages.
    const std::string& name() const { return name_; }
    /// Bytes of all files.
    uint64_t file_bytes() const;

    /// Elements [first, first + out.size()) in row-major order, converted. From F64, F32, F16 and BF16.
    /// Errors: invalid_argument out of range, unsupported for other types. Safe from several threads at once.
    void read(const StoredTensor& tensor, uint64_t first, std::span<float> out) const;
    /// The same as fp16 bits, rounded to nearest even.
    void read_fp16(const StoredTensor& tensor, uint64_t first, std::span<uint16_t> out) const;
    /// Throws invalid_input naming file and tensor when one of the elements [first, first + count) is an
    /// infinity or NaN: a model with one answers nothing but that, silently on some devices. Other errors as
    /// read()'s.
    void require_finite(const StoredTensor& tensor, uint64_t first, uint64_t count) const;
    /// A tensor's elements as they lie in the file. Errors: unsupported where they do not lie row-major.
    std::span<const std::byte> bytes(const StoredTensor& tensor) const;
    /// Gives back the pages of a tensor's data; read() does so by itself for contiguous tensors.
    void drop(const StoredTensor& tensor) const noexcept;

  private:
    struct File {
        std::string name;
        std::unique_ptr<MappedFile> mapped;  // null: in memory that the caller owns
        std::span<const std::byte> bytes;
    };

    explicit Checkpoint(std::string name) : name_(std::move(name)) {}
    void add_file(const std::filesystem::path& path);
    void add_shards(const std::filesystem::path& index);
    void add_tensors(std::vector<StoredTensor> tensors);
    void check_range(const StoredTensor& tensor, uint64_t first, uint64_t count) const;
    template <typename Out>
    void copy(const StoredTensor& tensor, uint64_t first, std::span<Out> out) const;

    std::string name_;
    std::vector<File> files_;
    std::vector<StoredTensor> tensors_;
    std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace vkbert
