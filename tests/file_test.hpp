// What the tests of files share: a folder that goes away, files with given bytes, and messages of refused
// input.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "runtime/error.hpp"

namespace vkbert::test {

/// A new folder under the system's temporary folder, removed with everything in it at the end.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "vkbert-test-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }
    /// Writes a file (and the folders it lies in) and returns its path.
    std::filesystem::path write(const std::string& name, std::string_view bytes) const {
        const std::filesystem::path path = path_ / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
        return path;
    }

  private:
    std::filesystem::path path_;
};

inline std::string file_bytes(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

inline std::filesystem::path test_data() {
    const char* folder = std::getenv("VKBERT_TEST_DATA");
    return folder ? folder : "";
}
inline std::filesystem::path source_folder() {
    const char* folder = std::getenv("VKBERT_SOURCE_DIR");
    return folder ? folder : "";
}

/// Runs `work`, which must throw Error with `code`; the message must be one line that has `part` in it.
template <typename Work>
void expect_error(ErrorCode code, const std::string& part, Work&& work) {
    try {
        work();
        ADD_FAILURE() << "accepted, though it should be refused with: " << part;
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(int(error.code()), int(code)) << message;
        EXPECT_NE(message.find(part), std::string::npos) << message << "\n  lacks: " << part;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
}

}  // namespace vkbert::test
