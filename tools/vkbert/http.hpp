// HTTP for `vkbert pull`: one kept connection, redirects that never leak a token, downloads that go on where
// they stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace vkbert::tools {

struct HttpOptions {
    std::string
        home;  // the token is sent to this address' scheme, host and port alone; if https, so is everything
    std::string token;  // empty: none
    std::string user_agent;
    int attempts = 6;            // in a row, without a new byte in between
    double retry_seconds = 0.5;  // before the second attempt; doubles up to 16 s
    std::function<void(const std::string&)>
        note;  // told about every attempt that failed and will be repeated
};

struct HttpRequest {
    std::string url;
    bool head = false;
    /// A redirect with this header (lower case) is answer enough: it is returned instead of followed.
    std::string answer_header;
    /// The body goes into this file, from byte `offset` on, when the status is 200 or 206; else into the
    /// response.
    int descriptor = -1;
    uint64_t offset = 0;
    std::function<void(uint64_t)> progress;  // receives the bytes that the file holds
};

struct HttpResponse {
    int error = 0;       // CURLcode; 0: there is a status
    std::string reason;  // why there is none, or "HTTP status 404"
    long status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
    uint64_t written = 0;  // bytes that the file holds
    int write_error = 0;   // errno of a write that failed

    std::string header(const std::string& name) const;
    bool redirect() const;
    /// Worth another attempt: the connection or the server failed, not the request.
    bool transient() const;
};

class HttpClient {
  public:
    explicit HttpClient(HttpOptions options);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    /// Follows redirects and repeats what is worth repeating, with growing pauses. A download goes on at the
    /// byte where it broke off. Returns the last response, whatever it is. Errors (failed): more than ten
    /// redirects.
    HttpResponse get(HttpRequest request);

  private:
    HttpResponse perform(const HttpRequest& request);
    HttpResponse follow(HttpRequest request);
    void set_up(const HttpRequest& request, HttpResponse& response);

    HttpOptions options_;
    std::string origin_;
    void* handle_ = nullptr;
};

}  // namespace vkbert::tools
