#include "tools/vkbert/tuning_file.hpp"

#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert::tools {

std::filesystem::path tuning_path(const Capabilities& capabilities) {
    const std::filesystem::path folder = pipeline_cache_folder();
    return folder.empty() ? folder : folder / tuning_file_name(capabilities);
}

std::optional<Tuning> read_tuning(const std::filesystem::path& path, const Capabilities& capabilities) {
    std::error_code error;
    if (path.empty() || !std::filesystem::is_regular_file(path, error)) return std::nullopt;
    try {
        return Tuning::parse(read_text_file(path, Tuning::most_bytes), capabilities);
    } catch (const Error&) {  // unreadable: nobody needs a tuning
        return std::nullopt;
    }
}

Tuning stored_tuning(const GlobalOptions& global, const Capabilities& capabilities) {
    if (global.no_tuning) return {};
    const std::filesystem::path path = tuning_path(capabilities);
    Tuning tuning = read_tuning(path, capabilities).value_or(Tuning());
    if (global.verbose && !tuning.empty())
        message(global, fmt::format("tuning: {} measured choices from {}", tuning.size(), path.string()));
    return tuning;
}

void write_tuning(const std::filesystem::path& path, const Tuning& tuning, const Capabilities& capabilities) {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    AtomicFile file(path);
    file.write(tuning.text(capabilities));
    file.commit();
}

}  // namespace vkbert::tools
