// Checksums by which the Hugging Face Hub names files.
#pragma once

#include <filesystem>
#include <string>

namespace vkbert::tools {

/// SHA-256 of a file's bytes in hexadecimal: the name of large files. Errors (failed): unreadable.
std::string sha256_of_file(const std::filesystem::path& path);
/// SHA-1 of git's blob object holding the file, in hexadecimal: the name of small files. Errors (failed):
/// unreadable.
std::string git_blob_sha1_of_file(const std::filesystem::path& path);

}  // namespace vkbert::tools
