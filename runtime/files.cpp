#include "runtime/files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

std::string reason(int error) {
    return std::generic_category().message(error);
}

struct Descriptor {
    int value = -1;
    uint64_t size = 0;

    Descriptor() = default;
    ~Descriptor() {
        if (value >= 0) ::close(value);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    Descriptor(Descriptor&& other) noexcept : value(std::exchange(other.value, -1)), size(other.size) {}
    Descriptor& operator=(Descriptor&&) = delete;
};

// O_NONBLOCK: opening a FIFO must not wait for a writer before it can be refused.
Descriptor open_regular(const std::filesystem::path& path) {
    Descriptor file;
    file.value = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file.value < 0) fail(ErrorCode::invalid_input, "{}: {}", path.string(), reason(errno));
    struct stat status {};
    if (::fstat(file.value, &status) != 0)
        fail(ErrorCode::invalid_input, "{}: {}", path.string(), reason(errno));
    if (S_ISDIR(status.st_mode))
        fail(ErrorCode::invalid_input, "{}: is a directory, not a file", path.string());
    if (!S_ISREG(status.st_mode)) fail(ErrorCode::invalid_input, "{}: is not a regular file", path.string());
    file.size = uint64_t(status.st_size);
    return file;
}

uint64_t page_size() {
    return uint64_t(::sysconf(_SC_PAGESIZE));
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
    const Descriptor file = open_regular(path);
    if (file.size == 0) fail(ErrorCode::invalid_input, "{}: the file is empty", path.string());
    void* data = ::mmap(nullptr, size_t(file.size), PROT_READ, MAP_PRIVATE, file.value, 0);
    if (data == MAP_FAILED)
        fail(ErrorCode::invalid_input, "{}: cannot be mapped: {}", path.string(), reason(errno));
    data_ = static_cast<const std::byte*>(data);
    size_ = size_t(file.size);
}

MappedFile::~MappedFile() {
    ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(uint64_t offset, uint64_t length) const noexcept {
    const uint64_t page = page_size();
    const uint64_t end = std::min<uint64_t>(offset + length, size_);
    const uint64_t first = (offset + page - 1) / page * page;
    const uint64_t last = end == size_ ? end : end / page * page;
    if (last > first) ::madvise(const_cast<std::byte*>(data_) + first, size_t(last - first), MADV_DONTNEED);
}

std::string read_text_file(const std::filesystem::path& path, uint64_t limit) {
    const Descriptor file = open_regular(path);
    if (file.size > limit)
        fail(ErrorCode::invalid_input, "{}: {} bytes, more than the {} such a file may have", path.string(),
             file.size, limit);
    std::string text(size_t(file.size), '\0');
    size_t done = 0;
    while (done < text.size()) {
        const ssize_t count = ::read(file.value, text.data() + done, text.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail(ErrorCode::invalid_input, "{}: {}", path.string(), reason(errno));
        if (count == 0) break;
        done += size_t(count);
    }
    text.resize(done);
    return text;
}

[[noreturn]] static void fail_with_errno(const std::filesystem::path& path, const char* what) {
    fail(ErrorCode::failed, "{}: {}: {}", path.string(), what, reason(errno));
}

static void write_all(int descriptor, const std::filesystem::path& path, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail_with_errno(path, "cannot be written");
        bytes = bytes.subspan(size_t(count));
    }
}

static void sync_folder(const std::filesystem::path& folder) {
    Descriptor handle;
    handle.value = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    // Some file systems refuse to sync a folder; the files in it are safe by then.
    if (handle.value >= 0 && ::fsync(handle.value) != 0 && errno == EIO)
        fail_with_errno(folder, "cannot be synced");
}

static void sync_parent(const std::filesystem::path& path) {
    sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    // A name of its own for every writer: two processes writing the same output must not share a temporary
    // file.
    for (uint32_t attempt = 0; attempt < 1000; ++attempt) {
        temporary_ = fmt::format("{}.{}-{}.tmp", path_.string(), ::getpid(), attempt);
        descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor_ >= 0) return;
        if (errno != EEXIST) break;
    }
    fail_with_errno(path_, "cannot be created");
}

AtomicFile::~AtomicFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    write_all(descriptor_, path_, bytes);
    written_ += bytes.size();
}

void AtomicFile::overwrite(uint64_t offset, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::pwrite(descriptor_, text.data(), text.size(), off_t(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail_with_errno(path_, "cannot be written");
        text.remove_prefix(size_t(count));
        offset += uint64_t(count);
    }
}

void AtomicFile::commit() {
    if (::fsync(descriptor_) != 0) fail_with_errno(path_, "cannot be written");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno(path_, "cannot be given its name");
    ::close(std::exchange(descriptor_, -1));
    sync_parent(path_);
}

AppendedFile::AppendedFile(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) fail_with_errno(path_, "cannot be opened");
    size_ = uint64_t(status.st_size);
}

AppendedFile::~AppendedFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendedFile::write(std::string_view text) {
    write_all(descriptor_, path_, std::as_bytes(std::span(text)));
    size_ += text.size();
}

void AppendedFile::sync() {
    if (::fsync(descriptor_) != 0) fail_with_errno(path_, "cannot be written");
}

void AppendedFile::cut(uint64_t bytes) {
    if (::ftruncate(descriptor_, off_t(bytes)) != 0) fail_with_errno(path_, "cannot be cut");
    size_ = bytes;
}

void rename_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
    sync_folder(from);
    if (::rename(from.c_str(), to.c_str()) != 0) fail_with_errno(to, "cannot be given its name");
    sync_parent(to);
}

}  // namespace vkbert
