// Whole files, written so that a crash or a full disk never leaves half of one.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vkbert {

/// The bytes of a file, or nothing when it cannot be read.
std::optional<std::vector<std::byte>> read_file(const std::string& path);

/// Writes the parts one after the other to a temporary name beside `path`, syncs and renames. Throws failed,
/// naming the path and the reason; what was at `path` before is then still there.
void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts);

}  // namespace vkbert
