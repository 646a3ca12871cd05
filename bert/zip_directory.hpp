// Where the entries of a zip archive lie. Stored entries only: what is compressed or encrypted is refused.
// Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3 (zip64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace vkbert {

struct ZipEntry {
    uint64_t offset = 0, size = 0;  // of the data in the archive; always inside it
};

/// The entries of an archive in memory, by name. Errors (invalid_input) begin with `name`.
std::map<std::string, ZipEntry> read_zip_directory(std::span<const std::byte> bytes, std::string_view name);

}  // namespace vkbert
