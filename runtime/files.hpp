// Files as the library uses them: mapped for reading, whole small texts, and output that appears only when
// complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace vkbert {

/// A regular file, mapped read-only. Errors (invalid_input): missing, unreadable, a directory, empty.
class MappedFile {
  public:
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::span<const std::byte> bytes() const { return {data_, size_}; }
    /// Gives the pages that lie wholly in bytes [offset, offset + length) back to the system; they are read
    /// again from the file when touched. Keeps peak memory low while weights are copied out.
    void drop(uint64_t offset, uint64_t length) const noexcept;

  private:
    const std::byte* data_ = nullptr;
    size_t size_ = 0;
};

/// The text of a file of at most `limit` bytes. Errors (invalid_input): missing, unreadable, a directory, too
/// large.
std::string read_text_file(const std::filesystem::path& path, uint64_t limit);

/// An output file under a temporary name beside `path`; commit() makes it durable and gives it its name,
/// replacing what was there. Without commit() nothing remains. Errors (failed): whatever the system says,
/// with the path.
class AtomicFile {
  public:
    explicit AtomicFile(std::filesystem::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(std::span<const std::byte> bytes);
    void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
    /// Overwrites bytes that write() has written before.
    void overwrite(uint64_t offset, std::string_view text);
    /// fsync, rename, fsync of the folder.
    void commit();
    uint64_t written() const { return written_; }

  private:
    std::filesystem::path path_, temporary_;
    int descriptor_ = -1;
    uint64_t written_ = 0;
};

/// A log: lines go to its end at once, so that a process that dies loses none that write() has taken. Errors
/// (failed) as AtomicFile's.
class AppendedFile {
  public:
    /// Makes the file if there is none.
    explicit AppendedFile(std::filesystem::path path);
    ~AppendedFile();
    AppendedFile(const AppendedFile&) = delete;
    AppendedFile& operator=(const AppendedFile&) = delete;

    void write(std::string_view text);
    /// Makes what was written survive a loss of power.
    void sync();
    uint64_t size() const { return size_; }
    /// Cuts the file to its first `bytes`.
    void cut(uint64_t bytes);

  private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    uint64_t size_ = 0;
};

/// Gives a folder whose files are synced its name, durably. Errors (failed): `to` exists, and whatever the
/// system says.
void rename_folder(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace vkbert
