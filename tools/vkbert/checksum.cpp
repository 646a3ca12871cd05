#include "tools/vkbert/checksum.hpp"

#include <fmt/format.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

#include <cstdio>
#include <memory>
#include <span>
#include <vector>

#include "runtime/error.hpp"

namespace vkbert::tools {

static std::string hexadecimal(std::span<const uint8_t> bytes) {
    std::string text;
    for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
}

template <typename Update>
static void read_all(const std::filesystem::path& path, const Update& update) {
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
    std::vector<uint8_t> block(1 << 20);
    size_t count = 0;
    while (file && (count = std::fread(block.data(), 1, block.size(), file.get())) > 0)
        update(count, block.data());
    if (!file || std::ferror(file.get()))
        fail(ErrorCode::failed, "{}: cannot be read back to verify it", path.string());
}

std::string sha256_of_file(const std::filesystem::path& path) {
    sha256_ctx state;
    sha256_init(&state);
    read_all(path, [&](size_t count, const uint8_t* data) { sha256_update(&state, count, data); });
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&state, sizeof digest, digest);
    return hexadecimal(digest);
}

std::string git_blob_sha1_of_file(const std::filesystem::path& path) {
    sha1_ctx state;
    sha1_init(&state);
    std::string header = fmt::format("blob {}", std::filesystem::file_size(path));
    header += '\0';
    sha1_update(&state, header.size(), reinterpret_cast<const uint8_t*>(header.data()));
    read_all(path, [&](size_t count, const uint8_t* data) { sha1_update(&state, count, data); });
    uint8_t digest[SHA1_DIGEST_SIZE];
    sha1_digest(&state, sizeof digest, digest);
    return hexadecimal(digest);
}

}  // namespace vkbert::tools
