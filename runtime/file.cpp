#include "runtime/file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "runtime/error.hpp"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace vkbert {

namespace {

struct Closer {
    std::FILE* file;
    ~Closer() {
        if (file) std::fclose(file);
    }
};

bool sync(std::FILE* file) {
    if (std::fflush(file) != 0) return false;
#ifdef _WIN32
    return true;
#else
    return fsync(fileno(file)) == 0;
#endif
}

void sync_folder(const std::filesystem::path& folder) {
#ifndef _WIN32
    const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY);
    if (descriptor < 0) return;
    fsync(descriptor);
    close(descriptor);
#else
    (void)folder;
#endif
}

}  // namespace

std::optional<std::vector<std::byte>> read_file(const std::string& path) {
    const Closer closer{std::fopen(path.c_str(), "rb")};
    if (!closer.file) return std::nullopt;
    std::vector<std::byte> bytes;
    std::byte chunk[65536];
    for (size_t n; (n = std::fread(chunk, 1, sizeof chunk, closer.file)) > 0;)
        bytes.insert(bytes.end(), chunk, chunk + n);
    if (std::ferror(closer.file)) return std::nullopt;
    return bytes;
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts) {
    static_assert(sizeof(std::byte) == 1);
    std::string temporary = path + ".XXXXXX";
#ifdef _WIN32
    Closer closer{std::fopen(temporary.c_str(), "wb")};
#else
    const int descriptor = mkstemp(temporary.data());
    Closer closer{descriptor < 0 ? nullptr : fdopen(descriptor, "wb")};
    if (closer.file) fchmod(descriptor, 0644);
#endif
    bool ok = closer.file != nullptr;
    for (const auto part : parts)
        ok = ok && (part.empty() || std::fwrite(part.data(), 1, part.size(), closer.file) == part.size());
    ok = ok && sync(closer.file);
    int reason = errno;
    if (closer.file && std::fclose(std::exchange(closer.file, nullptr)) != 0) {
        if (ok) reason = errno;
        ok = false;
    }
    if (ok) {
        std::error_code error;
        std::filesystem::rename(temporary, path, error);
        if (!error) {
            sync_folder(std::filesystem::path(path).parent_path());
            return;
        }
        reason = error.value();
    }
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    fail(ErrorCode::failed, "{}: cannot be written: {}", path, std::strerror(reason));
}

}  // namespace vkbert
