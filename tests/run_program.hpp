// Runs the real vkbert command (from VKBERT_BIN_DIR) and keeps what it says. For tests of the command line.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace vkbert::test {

struct ProgramResult {
    int exit_code = -1;  // 128 + signal when it was killed
    std::string out, err;
};

/// environment: added to the test's own; an empty value removes the variable. input: standard input.
ProgramResult run_vkbert(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment = {},
                         const std::string& input = "");

/// A new empty folder, removed with all that is in it at the end.
class TemporaryFolder {
  public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::string& path() const { return path_; }
    /// Writes a file in it and returns its path.
    std::string file(const std::string& name, const std::string& content) const;

  private:
    std::string path_;
};

std::string read_file(const std::string& path);

}  // namespace vkbert::test
