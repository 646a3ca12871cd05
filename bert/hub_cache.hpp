// The folder in which Hugging Face's tools keep what they download:
//   <root>/models--<organisation>--<name>/{blobs/<etag>, refs/<revision>, snapshots/<commit>/<file> ->
//   ../../blobs/...}
// Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace vkbert {

/// What the environment says about the cache; an empty value counts as absent.
struct HubEnvironment {
    std::string hub_cache;   // HF_HUB_CACHE
    std::string home;        // HF_HOME
    std::string cache_home;  // XDG_CACHE_HOME
    std::string user_home;   // HOME
};
/// HF_HUB_CACHE, or hub in HF_HOME, or huggingface/hub in the user's cache folder; empty when nothing is
/// known.
std::filesystem::path hub_cache_root(const HubEnvironment& environment);

/// Whether `name` can be a model's name on the hub: "name" or "organisation/name" of letters, digits, '-',
/// '_', '.'.
bool is_hub_name(std::string_view name);

/// The folder of one model in the cache. Errors: invalid_argument for what is_hub_name() refuses.
class HubRepository {
  public:
    HubRepository(const std::filesystem::path& root, std::string_view name);

    const std::filesystem::path& folder() const { return folder_; }
    /// Where a file's content lies, by its etag. Errors: invalid_argument for an etag that is no file name.
    std::filesystem::path blob(std::string_view etag) const;
    /// The file that holds the commit of a branch or tag. Errors: invalid_argument for a revision that is no
    /// name.
    std::filesystem::path reference(std::string_view revision) const;
    /// The folder with the files of a commit. Errors: invalid_argument for what is no commit.
    std::filesystem::path snapshot(std::string_view commit) const;
    /// The snapshot of a branch, tag or commit, where it is in the cache.
    /// Errors: invalid_input for a reference file that does not hold a commit.
    std::optional<std::filesystem::path> find(std::string_view revision = "main") const;

  private:
    std::filesystem::path folder_;
};

/// The folder of a model given as a folder or as a hub name: what exists as a folder wins.
/// Errors: invalid_input, saying where it was looked for.
std::filesystem::path resolve_model(const std::string& model, const std::filesystem::path& root,
                                    std::string_view revision = "main");

}  // namespace vkbert
