#include "tools/vkbert/output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <iterator>

#include "runtime/error.hpp"
#include "tools/vkbert/progress.hpp"

namespace vkbert::tools {

void JsonLine::separate() {
    if (!first_) text_ += ',';
    first_ = false;
}

static void append_string(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
                    fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
                else
                    out += c;
        }
    }
    out += '"';
}

template <typename T>
static void append_number(std::string& out, T number) {
    if (std::isfinite(number))
        fmt::format_to(std::back_inserter(out), "{}", number);
    else
        out += "null";
}

JsonLine& JsonLine::key(std::string_view name) {
    separate();
    append_string(text_, name);
    text_ += ':';
    first_ = true;
    return *this;
}
JsonLine& JsonLine::value(std::string_view text) {
    separate();
    append_string(text_, text);
    return *this;
}
JsonLine& JsonLine::value(bool yes) {
    separate();
    text_ += yes ? "true" : "false";
    return *this;
}
JsonLine& JsonLine::value(float number) {
    separate();
    append_number(text_, number);
    return *this;
}
JsonLine& JsonLine::value(double number) {
    separate();
    append_number(text_, number);
    return *this;
}
JsonLine& JsonLine::value(uint64_t number) {
    separate();
    fmt::format_to(std::back_inserter(text_), "{}", number);
    return *this;
}
JsonLine& JsonLine::null() {
    separate();
    text_ += "null";
    return *this;
}
JsonLine& JsonLine::values(std::span<const float> numbers) {
    begin_array();
    for (const float number : numbers) value(number);
    return end_array();
}
JsonLine& JsonLine::begin_object() {
    separate();
    text_ += '{';
    first_ = true;
    return *this;
}
JsonLine& JsonLine::end_object() {
    text_ += '}';
    first_ = false;
    return *this;
}
JsonLine& JsonLine::begin_array() {
    separate();
    text_ += '[';
    first_ = true;
    return *this;
}
JsonLine& JsonLine::end_array() {
    text_ += ']';
    first_ = false;
    return *this;
}
std::string JsonLine::take() {
    end_object();
    text_ += '\n';
    return std::move(text_);
}

ResultWriter::ResultWriter() : terminal_(isatty(STDOUT_FILENO) != 0) {}
ResultWriter::ResultWriter(const std::filesystem::path& path) : file_(std::make_unique<AtomicFile>(path)) {}
ResultWriter::~ResultWriter() = default;

void ResultWriter::finish() {
    flush();
    if (file_) file_->commit();
}

void ResultWriter::write(std::string_view text) {
    buffer_ += text;
    if (terminal_ || buffer_.size() >= 64 << 10) flush();
}

void ResultWriter::flush() {
    if (file_) {
        file_->write(buffer_);
        buffer_.clear();
        return;
    }
    if (terminal_ && !buffer_.empty()) Progress::clear_line();
    for (std::string_view rest = buffer_; !rest.empty();) {
        const ssize_t written = ::write(STDOUT_FILENO, rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            const std::string reason = std::strerror(errno);
            buffer_.clear();
            fail(ErrorCode::failed, "standard output: {}; not all results were written", reason);
        }
        rest.remove_prefix(static_cast<size_t>(written));
    }
    buffer_.clear();
}

}  // namespace vkbert::tools
