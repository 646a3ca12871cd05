// The Hugging Face Hub: what a repository holds, what a file is called by content, and its bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/vkbert/http.hpp"

namespace vkbert::tools {

/// GET /api/models/NAME/revision/REVISION
struct HubRepository {
    std::string commit;              // 40 hexadecimal digits
    std::vector<std::string> files;  // paths in the repository, each is_safe_path()
};

/// HEAD /NAME/resolve/COMMIT/PATH
struct HubFile {
    std::string url;
    std::string etag;  // the name of the content: SHA-256 of large files, git's blob SHA-1 of small ones
    std::optional<uint64_t> size;  // bytes, when the server tells
};

/// Errors (failed) name the model and say what to do.
class HubClient {
  public:
    /// endpoint: scheme and host, perhaps a path. Errors (invalid_argument): not http or https.
    HubClient(std::string endpoint, HttpOptions options);

    HubRepository repository(const std::string& name, const std::string& revision);
    HubFile file(const std::string& name, const std::string& commit, const std::string& path);
    /// Brings `partial` to the whole of the file, from the byte where an earlier call or run stopped.
    void download(const HubFile& file, const std::filesystem::path& partial,
                  const std::function<void(uint64_t)>& progress);

  private:
    [[noreturn]] void explain(const HttpResponse& response, const std::string& what) const;

    std::string endpoint_;
    bool has_token_;
    HttpClient http_;
};

/// True when a path of a repository is safe to make below a folder: relative, no empty, "." or ".."
/// component, no backslash or control character.
bool is_safe_path(const std::string& path);

}  // namespace vkbert::tools
