// Errors of set-up paths: one exception type with a code and a message that names what, where and what to do.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace vkbert {

enum class ErrorCode {
    failed,            // the work could not be done
    invalid_argument,  // the caller asked for something that cannot be: wrong shape, unknown variant, ...
    invalid_input,     // a file or text is unreadable, malformed or does not fit the model
    no_device,         // no Vulkan device, or none with what is needed
    out_of_memory,     // device memory or the memory limit is too small
    device_lost,       // the device was lost; the context is dead
    unsupported,       // this build or device cannot do it
};

class Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    ErrorCode code() const noexcept { return code_; }

  private:
    ErrorCode code_;
};

/// Throws Error with a formatted message: fail(ErrorCode::invalid_input, "{}: header is {} bytes", path, n).
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
    throw Error(code, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace vkbert
