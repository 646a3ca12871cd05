#include "bert/hub_cache.hpp"

#include <algorithm>

#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {

namespace fs = std::filesystem;

namespace {

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

// A part of a name on the hub. "--" is what parts are joined by in the cache, and dots must not climb.
bool is_part(std::string_view part) {
    return !part.empty() && part.size() <= 96 && std::all_of(part.begin(), part.end(), is_word) &&
           part.find("--") == std::string_view::npos && part.find("..") == std::string_view::npos &&
           part != "." && part.front() != '-';
}

bool is_commit(std::string_view text) {
    return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

}  // namespace

fs::path hub_cache_root(const HubEnvironment& environment) {
    if (!environment.hub_cache.empty()) return environment.hub_cache;
    if (!environment.home.empty()) return fs::path(environment.home) / "hub";
    if (!environment.cache_home.empty()) return fs::path(environment.cache_home) / "huggingface" / "hub";
    if (!environment.user_home.empty())
        return fs::path(environment.user_home) / ".cache" / "huggingface" / "hub";
    return {};
}

bool is_hub_name(std::string_view name) {
    const size_t slash = name.find('/');
    if (slash == std::string_view::npos) return is_part(name);
    return is_part(name.substr(0, slash)) && is_part(name.substr(slash + 1));
}

HubRepository::HubRepository(const fs::path& root, std::string_view name) {
    if (!is_hub_name(name))
        fail(ErrorCode::invalid_argument, "'{}' is not the name of a model on the hub", name);
    std::string folder = "models--" + std::string(name);
    if (const size_t slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
    folder_ = root / folder;
}

fs::path HubRepository::blob(std::string_view etag) const {
    if (!is_part(etag)) fail(ErrorCode::invalid_argument, "'{}' is not an etag", etag);
    return folder_ / "blobs" / etag;
}

fs::path HubRepository::reference(std::string_view revision) const {
    // Revisions may have slashes ("refs/pr/1"), each part becoming a folder.
    fs::path path = folder_ / "refs";
    for (size_t begin = 0; begin <= revision.size();) {
        const size_t end = std::min(revision.find('/', begin), revision.size());
        const std::string_view part = revision.substr(begin, end - begin);
        if (!is_part(part)) fail(ErrorCode::invalid_argument, "'{}' is not a revision", revision);
        path /= part;
        begin = end + 1;
    }
    return path;
}

fs::path HubRepository::snapshot(std::string_view commit) const {
    if (!is_commit(commit)) fail(ErrorCode::invalid_argument, "'{}' is not a commit", commit);
    return folder_ / "snapshots" / commit;
}

std::optional<fs::path> HubRepository::find(std::string_view revision) const {
    std::error_code error;
    std::string commit(revision);
    if (!is_commit(commit)) {
        const fs::path file = reference(revision);
        if (!fs::exists(file, error)) return std::nullopt;
        commit = read_text_file(file, 4096);
        while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r' || commit.back() == ' '))
            commit.pop_back();
        if (!is_commit(commit)) fail(ErrorCode::invalid_input, "{}: does not hold a commit", file.string());
    }
    const fs::path folder = snapshot(commit);
    if (!fs::is_directory(folder, error)) return std::nullopt;
    return folder;
}

fs::path resolve_model(const std::string& model, const fs::path& root, std::string_view revision) {
    std::error_code error;
    if (fs::is_directory(model, error)) return model;
    if (fs::exists(model, error)) fail(ErrorCode::invalid_input, "{}: is a file, not a model folder", model);
    if (!is_hub_name(model)) fail(ErrorCode::invalid_input, "{}: no such folder", model);
    if (root.empty())
        fail(ErrorCode::invalid_input, "{}: no such folder, and no Hugging Face cache is known", model);
    if (auto found = HubRepository(root, model).find(revision)) return *found;
    fail(ErrorCode::invalid_input, "{}: no such folder, and revision {} is not in the Hugging Face cache {}",
         model, revision, root.string());
}

}  // namespace vkbert
