#include "tools/vkbert/hub_client.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/error.hpp"

namespace vkbert::tools {

bool is_safe_path(const std::string& path) {
    if (path.empty() || path.size() > 1000) return false;
    for (const char c : path)
        if (c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    for (size_t begin = 0; begin <= path.size();) {
        const size_t end = std::min(path.find('/', begin), path.size());
        const std::string part = path.substr(begin, end - begin);
        if (part.empty() || part == "." || part == "..") return false;
        begin = end + 1;
    }
    return true;
}

/// Percent-encodes a path; a revision's slashes too, since it is one component.
static std::string url_encode(const std::string& text, bool keep_slashes) {
    std::string result;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes))
            result += c;
        else
            result += fmt::format("%{:02X}", byte);
    }
    return result;
}

static std::string without_slash(std::string endpoint) {
    while (!endpoint.empty() && endpoint.back() == '/') endpoint.pop_back();
    if (endpoint.rfind("https://", 0) != 0 && endpoint.rfind("http://", 0) != 0)
        fail(ErrorCode::invalid_argument, "HF_ENDPOINT: '{}' is not an http:// or https:// address",
             endpoint);
    return endpoint;
}

static HttpOptions at_home(HttpOptions options, const std::string& endpoint) {
    options.home = endpoint;
    return options;
}

HubClient::HubClient(std::string endpoint, HttpOptions options)
    : endpoint_(without_slash(std::move(endpoint))),
      has_token_(!options.token.empty()),
      http_(at_home(std::move(options), endpoint_)) {}

void HubClient::explain(const HttpResponse& response, const std::string& what) const {
    const std::string code = response.header("x-error-code");
    if (code == "GatedRepo" || response.status == 403)
        fail(ErrorCode::failed,
             "{}: access is restricted; ask for it on {} and set HF_TOKEN to a token that has it", what,
             endpoint_);
    if (code == "RevisionNotFound")
        fail(ErrorCode::failed, "{}: there is no such revision at {}", what, endpoint_);
    if (response.status == 401 && has_token_)
        fail(ErrorCode::failed,
             "{}: {} does not accept the token, or there is no such model; check HF_TOKEN and the name", what,
             endpoint_);
    if (response.status == 401 || response.status == 404)
        fail(ErrorCode::failed, "{}: not found at {}; check the name, or set HF_TOKEN if it is private", what,
             endpoint_);
    if (response.write_error != 0)
        fail(ErrorCode::failed, "{}: {}", what, std::strerror(response.write_error));
    if (response.status == 429)
        fail(ErrorCode::failed, "{}: {} allows no more requests for now; wait a while, or set HF_TOKEN", what,
             endpoint_);
    fail(
        ErrorCode::failed, "{}: {} at {}; try again later (what is there already is kept)", what,
        response.reason.empty() ? fmt::format("unexpected HTTP status {}", response.status) : response.reason,
        endpoint_);
}

static bool is_hexadecimal(const std::string& text, size_t length) {
    return text.size() == length &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c); });
}

HubRepository HubClient::repository(const std::string& name, const std::string& revision) {
    HttpRequest request;
    request.url =
        endpoint_ + "/api/models/" + url_encode(name, true) + "/revision/" + url_encode(revision, false);
    const HttpResponse response = http_.get(std::move(request));
    const std::string what = revision == "main" ? name : name + " (revision " + revision + ")";
    if (response.error != 0 || response.status != 200) explain(response, what);
    const auto json = nlohmann::json::parse(response.body, nullptr, false);
    HubRepository result;
    if (json.is_object() && json.contains("sha") && json["sha"].is_string())
        result.commit = json["sha"].get<std::string>();
    if (!is_hexadecimal(result.commit, 40) || !json.contains("siblings") || !json["siblings"].is_array())
        fail(ErrorCode::failed, "{}: {} does not answer as the Hugging Face Hub does; check HF_ENDPOINT",
             what, endpoint_);
    for (const auto& sibling : json["siblings"]) {
        if (!sibling.is_object() || !sibling.contains("rfilename") || !sibling["rfilename"].is_string())
            continue;
        const std::string path = sibling["rfilename"].get<std::string>();
        if (!is_safe_path(path))
            fail(ErrorCode::failed, "{}: the list of files has '{}', which leads out of the model's folder",
                 what, nlohmann::json(path).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
        result.files.push_back(path);
    }
    return result;
}

/// An ETag header without W/ and quotes; it becomes a file name, so nothing but plain characters may be in
/// it.
static std::string plain_etag(std::string text) {
    if (text.rfind("W/", 0) == 0) text.erase(0, 2);
    std::erase(text, '"');
    const bool plain = !text.empty() && text.size() <= 128 && text[0] != '.' &&
                       std::all_of(text.begin(), text.end(), [](unsigned char c) {
                           return std::isalnum(c) || c == '-' || c == '_' || c == '.';
                       });
    return plain ? text : "";
}

HubFile HubClient::file(const std::string& name, const std::string& commit, const std::string& path) {
    HubFile result;
    result.url =
        endpoint_ + "/" + url_encode(name, true) + "/resolve/" + commit + "/" + url_encode(path, true);
    HttpRequest request;
    request.url = result.url;
    request.head = true;
    request.answer_header = "x-linked-etag";
    const HttpResponse response = http_.get(std::move(request));
    const std::string what = name + "/" + path;
    if (response.error != 0 || response.status >= 400) explain(response, what);
    const bool linked = !response.header("x-linked-etag").empty();
    result.etag = plain_etag(response.header(linked ? "x-linked-etag" : "etag"));
    if (result.etag.empty())
        fail(ErrorCode::failed, "{}: {} does not name the content (no usable ETag); check HF_ENDPOINT", what,
             endpoint_);
    const std::string size = response.header(linked ? "x-linked-size" : "content-length");
    uint64_t bytes = 0;
    if (!size.empty() && std::from_chars(size.data(), size.data() + size.size(), bytes).ec == std::errc())
        result.size = bytes;
    return result;
}

void HubClient::download(const HubFile& file, const std::filesystem::path& partial,
                         const std::function<void(uint64_t)>& progress) {
    struct Descriptor {
        int value;
        ~Descriptor() { close(value); }
    };
    const Descriptor out{open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
    struct stat status {};
    if (out.value < 0 || fstat(out.value, &status) != 0)
        fail(ErrorCode::failed, "{}: {}", partial.string(), std::strerror(errno));
    HttpRequest request;
    request.url = file.url;
    request.descriptor = out.value;
    request.offset = static_cast<uint64_t>(status.st_size);
    request.progress = progress;
    if (file.size && request.offset > *file.size) request.offset = 0;
    if (!file.size || request.offset != *file.size || request.offset == 0) {
        HttpResponse response = http_.get(request);
        // What is there is not the beginning of their file, or they answer with another range: once more from
        // the start.
        const bool other_range = response.status == 206 && response.error != 0 && response.write_error == 0 &&
                                 response.written == request.offset;
        if (response.status == 416 || other_range) {
            request.offset = 0;
            response = http_.get(request);
        }
        const bool whole = response.error == 0 && (response.status == 200 || response.status == 206);
        if (!whole) explain(response, response.write_error != 0 ? partial.string() : file.url);
        // An empty file brings no bytes that would have cut off what was there.
        if (ftruncate(out.value, static_cast<off_t>(response.written)) != 0)
            fail(ErrorCode::failed, "{}: {}", partial.string(), std::strerror(errno));
    }
    if (fsync(out.value) != 0) fail(ErrorCode::failed, "{}: {}", partial.string(), std::strerror(errno));
}

}  // namespace vkbert::tools
