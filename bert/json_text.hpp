// Parsing JSON that may be hostile. Include this in .cpp files only: nlohmann-json is slow to compile.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string_view>

namespace vkbert {

/// Parses `text`; `name` is what messages begin with. Errors (invalid_input): malformed JSON (with line and
/// column), a key given twice in one object, more than 64 levels of nesting.
nlohmann::json parse_json(std::string_view text, std::string_view name);

/// parse_json of a file whose top level is an object. Errors: also those of read_text_file.
nlohmann::json read_json_object(const std::filesystem::path& path, uint64_t limit = uint64_t(64) << 20);

}  // namespace vkbert
