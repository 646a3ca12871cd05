#include "tools/lab/standard_error.hpp"

#include <unistd.h>

#include "runtime/error.hpp"

namespace vkbert::lab {

StandardErrorCapture::StandardErrorCapture() : file_(std::tmpfile()) {
    if (file_ == nullptr) fail(ErrorCode::failed, "no temporary file for what the driver writes");
    std::fflush(stderr);
    before_ = dup(STDERR_FILENO);
    dup2(fileno(file_), STDERR_FILENO);
}

StandardErrorCapture::~StandardErrorCapture() {
    std::fflush(stderr);
    dup2(before_, STDERR_FILENO);
    close(before_);
    std::fclose(file_);
}

std::string StandardErrorCapture::text() const {
    std::fflush(stderr);
    std::string text;
    char part[4096];
    off_t at = 0;
    for (ssize_t got; (got = pread(fileno(file_), part, sizeof part, at)) > 0; at += got)
        text.append(part, size_t(got));
    return text;
}

}  // namespace vkbert::lab
