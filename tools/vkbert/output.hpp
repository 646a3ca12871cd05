// Results on standard output: one JSON object a line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/files.hpp"

namespace vkbert::tools {

/// Builds one line of JSON. Numbers are written with as many digits as give the same value back; a number
/// that is not finite becomes null. Strings must be UTF-8.
class JsonLine {
  public:
    JsonLine() { begin_object(); }

    JsonLine& key(std::string_view name);
    JsonLine& value(std::string_view text);
    JsonLine& value(const char* text) { return value(std::string_view(text)); }
    JsonLine& value(bool yes);
    JsonLine& value(float number);
    JsonLine& value(double number);
    JsonLine& value(uint64_t number);
    JsonLine& value(uint32_t number) { return value(uint64_t(number)); }
    JsonLine& null();
    JsonLine& values(std::span<const float> numbers);
    JsonLine& begin_object();
    JsonLine& end_object();
    JsonLine& begin_array();
    JsonLine& end_array();

    template <typename T>
    JsonLine& field(std::string_view name, const T& content) {
        key(name);
        return value(content);
    }
    /// Closes the outermost object and returns the line, newline included.
    std::string take();

  private:
    void separate();
    std::string text_;
    bool first_ = true;
};

/// Buffered writer of lines that never loses an error. Errors (failed): a full disk, a reader gone away.
class ResultWriter {
  public:
    /// To standard output.
    ResultWriter();
    /// To a file that appears under its name at finish().
    explicit ResultWriter(const std::filesystem::path& path);
    ~ResultWriter();
    ResultWriter(const ResultWriter&) = delete;
    ResultWriter& operator=(const ResultWriter&) = delete;

    void write(std::string_view text);
    void line(JsonLine& object) { write(object.take()); }
    void flush();
    /// Everything is written: flush, and give a file its name.
    void finish();

  private:
    std::string buffer_;
    bool terminal_ = false;
    std::unique_ptr<AtomicFile> file_;
};

}  // namespace vkbert::tools
