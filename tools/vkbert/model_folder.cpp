#include "tools/vkbert/model_folder.hpp"

#include "bert/hub_cache.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

namespace fs = std::filesystem;

static fs::path cached_snapshot(const std::string& model) {
    const size_t at = model.find('@');
    const std::string name = model.substr(0, at),
                      revision = at == std::string::npos ? "main" : model.substr(at + 1);
    // Google's own models are known without the organisation that the hub has since put before them.
    for (const std::string& full : {name, "google-bert/" + name})
        if (is_hub_name(full))
            if (const auto found = HubRepository(hub_cache_folder(), full).find(revision)) return *found;
    return {};
}

fs::path model_folder(const std::string& model) {
    if (model.empty()) fail(ErrorCode::invalid_argument, "no model: give --model DIR or --model NAME");
    std::error_code ignored;
    if (fs::is_directory(model, ignored)) return model;
    if (fs::exists(model, ignored))
        fail(ErrorCode::invalid_input, "{}: is a file; --model wants the folder that has config.json", model);
    const bool may_be_name = model[0] != '/' && model[0] != '.' && model.find("..") == std::string::npos;
    if (may_be_name)
        if (const fs::path folder = cached_snapshot(model); !folder.empty()) return folder;
    fail(ErrorCode::invalid_input,
         "{}: no such folder, and no such model in {}; fetch it with `vkbert pull {}`", model,
         hub_cache_folder().string(), model);
}

}  // namespace vkbert::tools
