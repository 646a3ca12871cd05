// Where `vkbert tune` keeps what it has measured, and how the other commands find it.
#pragma once

#include <filesystem>

#include "runtime/tuning.hpp"
#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

/// The file with a device's tuning, beside its pipelines. Empty when no home folder is known.
std::filesystem::path tuning_path(const Capabilities& capabilities);

/// What a file says about the device; nothing when there is none, or one of another driver or build, or
/// damaged: then it is as if there were none.
std::optional<Tuning> read_tuning(const std::filesystem::path& path, const Capabilities& capabilities);

/// What a command is to use: nothing with --no-tuning. With --verbose it says what it uses.
Tuning stored_tuning(const GlobalOptions& global, const Capabilities& capabilities);

/// Replaces the file at once. Errors (failed): whatever the system says.
void write_tuning(const std::filesystem::path& path, const Tuning& tuning, const Capabilities& capabilities);

}  // namespace vkbert::tools
