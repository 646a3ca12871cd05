// From what --model says to a folder.
#pragma once

#include <filesystem>
#include <string>

namespace vkbert::tools {

/// A folder as it is, or the snapshot of a hub name in the local Hugging Face cache ("NAME" or
/// "NAME@REVISION"). Errors: invalid_argument when empty; invalid_input when there is neither, saying how to
/// get it.
std::filesystem::path model_folder(const std::string& model);

}  // namespace vkbert::tools
