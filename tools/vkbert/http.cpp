#include "tools/vkbert/http.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "runtime/error.hpp"
#include "tools/vkbert/curl_library.hpp"

namespace vkbert::tools {

static constexpr size_t max_body = 64 << 20;  // of an answer that does not go into a file
static constexpr int max_redirects = 10;

std::string HttpResponse::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
}

bool HttpResponse::redirect() const {
    return status >= 300 && status < 400 && headers.count("location") != 0;
}

bool HttpResponse::transient() const {
    if (write_error != 0) return false;
    switch (error) {
        case CURLE_OK:
            return status == 408 || status == 429 || (status >= 500 && status <= 504);
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_CONNECT:
        case CURLE_PARTIAL_FILE:
        case CURLE_OPERATION_TIMEDOUT:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
            return true;
        default:
            return false;
    }
}

static std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

/// "https/host/443/": what decides whether a token may go there. Empty when `url` is no URL.
static std::string origin_of(const std::string& url) {
    const CurlLibrary& curl = curl_library();
    CURLU* parts = curl.url();
    std::string origin;
    if (curl.url_set(parts, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK) {
        for (const CURLUPart part : {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT}) {
            char* text = nullptr;
            if (curl.url_get(parts, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) ==
                CURLUE_OK) {
                origin += text;
                curl.free(text);
            }
            origin += '/';
        }
    }
    curl.url_cleanup(parts);
    return lower(origin);
}

/// `location` as seen from `base`. Empty when that is no URL.
static std::string resolve(const std::string& base, const std::string& location) {
    const CurlLibrary& curl = curl_library();
    CURLU* parts = curl.url();
    std::string result;
    char* text = nullptr;
    if (curl.url_set(parts, CURLUPART_URL, base.c_str(), 0) == CURLUE_OK &&
        curl.url_set(parts, CURLUPART_URL, location.c_str(), 0) == CURLUE_OK &&
        curl.url_get(parts, CURLUPART_URL, &text, 0) == CURLUE_OK) {
        result = text;
        curl.free(text);
    }
    curl.url_cleanup(parts);
    return result;
}

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)) {
    origin_ = origin_of(options_.home);
    handle_ = curl_library().easy_init();
    if (!handle_) fail(ErrorCode::failed, "libcurl does not start");
}

HttpClient::~HttpClient() {
    curl_library().easy_cleanup(handle_);
}

static size_t receive_header(char* data, size_t, size_t size, void* user) {
    auto& headers = *static_cast<std::map<std::string, std::string>*>(user);
    std::string line(data, size);
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.pop_back();
    if (line.rfind("HTTP/", 0) == 0) headers.clear();
    if (const size_t colon = line.find(':'); colon != std::string::npos) {
        const size_t begin = line.find_first_not_of(" \t", colon + 1);
        headers[lower(line.substr(0, colon))] = begin == std::string::npos ? "" : line.substr(begin);
    }
    return size;
}

static size_t receive_text(char* data, size_t, size_t size, void* user) {
    auto& body = *static_cast<std::string*>(user);
    if (body.size() + size > max_body) return 0;
    body.append(data, size);
    return size;
}

namespace {
/// What receive_file sees of one transfer.
struct Transfer {
    const HttpRequest* request;
    HttpResponse* response;
    void* handle;
    bool accepted = false;  // the answer carries the bytes that were asked for

    bool accept() {
        if (response->status == 206) {
            const std::string expected = "bytes " + std::to_string(request->offset) + "-";
            if (response->header("content-range").rfind(expected, 0) != 0) return false;
        }
        response->written = response->status == 206 ? request->offset : 0;
        if (ftruncate(request->descriptor, static_cast<off_t>(response->written)) == 0)
            return accepted = true;
        response->write_error = errno;
        return false;
    }
    bool write(const char* data, size_t size) {
        while (size > 0) {
            const ssize_t count =
                pwrite(request->descriptor, data, size, static_cast<off_t>(response->written));
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) {
                response->write_error = errno;
                return false;
            }
            data += count;
            size -= static_cast<size_t>(count);
            response->written += static_cast<uint64_t>(count);
        }
        return true;
    }
};
}  // namespace

static size_t receive_file(char* data, size_t, size_t size, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    if (!transfer.accepted) {
        curl_library().easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &transfer.response->status);
        // The text of an error or of a redirect does not belong into the file.
        if (transfer.response->status != 200 && transfer.response->status != 206)
            return receive_text(data, 1, size, &transfer.response->body);
        if (!transfer.accept()) return 0;
    }
    if (!transfer.write(data, size)) return 0;
    if (transfer.request->progress) transfer.request->progress(transfer.response->written);
    return size;
}

void HttpClient::set_up(const HttpRequest& request, HttpResponse& response) {
    const CurlLibrary& curl = curl_library();
    const auto set = [&](CURLoption option, auto value) { curl.easy_setopt(handle_, option, value); };
    curl.easy_reset(handle_);
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_USERAGENT, options_.user_agent.c_str());
    set(CURLOPT_PROTOCOLS_STR, origin_.rfind("https/", 0) == 0 ? "https" : "http,https");
    set(CURLOPT_NOBODY, request.head ? 1L : 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, 30L);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, 60L);
    set(CURLOPT_HEADERFUNCTION, receive_header);
    set(CURLOPT_HEADERDATA, &response.headers);
}

HttpResponse HttpClient::perform(const HttpRequest& request) {
    const CurlLibrary& curl = curl_library();
    HttpResponse response;
    response.written = request.offset;
    set_up(request, response);
    curl_slist* headers = curl.slist_append(nullptr, "Accept-Encoding: identity");
    if (!options_.token.empty() && origin_of(request.url) == origin_)
        headers = curl.slist_append(headers, ("Authorization: Bearer " + options_.token).c_str());
    if (request.offset != 0)
        headers =
            curl.slist_append(headers, ("Range: bytes=" + std::to_string(request.offset) + "-").c_str());
    char reason[CURL_ERROR_SIZE] = "";
    Transfer transfer{&request, &response, handle_};
    curl.easy_setopt(handle_, CURLOPT_HTTPHEADER, headers);
    curl.easy_setopt(handle_, CURLOPT_ERRORBUFFER, reason);
    curl.easy_setopt(handle_, CURLOPT_WRITEFUNCTION, request.descriptor >= 0 ? receive_file : receive_text);
    curl.easy_setopt(
        handle_, CURLOPT_WRITEDATA,
        request.descriptor >= 0 ? static_cast<void*>(&transfer) : static_cast<void*>(&response.body));
    const CURLcode result = curl.easy_perform(handle_);
    curl.easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &response.status);
    curl.slist_free_all(headers);
    response.error = result;
    if (result != CURLE_OK)
        response.reason = reason[0] != '\0' ? reason : curl.easy_strerror(result);
    else if (response.status >= 400)
        response.reason = fmt::format("HTTP status {}", response.status);
    return response;
}

HttpResponse HttpClient::follow(HttpRequest request) {
    for (int hop = 0; hop <= max_redirects; ++hop) {
        HttpResponse response = perform(request);
        if (response.error != 0 || !response.redirect()) return response;
        if (!request.answer_header.empty() && response.headers.count(request.answer_header)) return response;
        std::string next = resolve(request.url, response.header("location"));
        if (next.empty())
            fail(ErrorCode::failed, "{}: redirected to '{}', which is no address", request.url,
                 response.header("location"));
        request.url = std::move(next);
    }
    fail(ErrorCode::failed, "{}: more than {} redirects", request.url, max_redirects);
}

HttpResponse HttpClient::get(HttpRequest request) {
    double pause = options_.retry_seconds;
    for (int attempt = 1;; ++attempt) {
        HttpResponse response = follow(request);
        if (request.descriptor >= 0 && response.written > request.offset) {
            attempt = 1;
            pause = options_.retry_seconds;
        }
        request.offset = request.descriptor >= 0 ? response.written : 0;
        if (!response.transient() || attempt >= options_.attempts) return response;
        // The hub says how long to wait when it was asked too often.
        const double asked = std::atof(response.header("retry-after").c_str());
        const double seconds = std::clamp(asked, pause, 60.0);
        if (options_.note)
            options_.note(
                fmt::format("{}: {}; trying again in {:.1f} s", request.url, response.reason, seconds));
        std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
        pause = std::min(pause * 2, 16.0);
    }
}

}  // namespace vkbert::tools
