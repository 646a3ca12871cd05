#include "tests/run_program.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace vkbert::test {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "vkbert-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::file(const std::string& name, const std::string& content) const {
    const fs::path place = fs::path(path_) / name;
    fs::create_directories(place.parent_path());
    std::ofstream(place, std::ios::binary) << content;
    return place.string();
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

static void redirect(const std::string& path, int flags, int descriptor) {
    const int file = open(path.c_str(), flags, 0600);
    if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
}

ProgramResult run_vkbert(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment, const std::string& input) {
    const char* folder = std::getenv("VKBERT_BIN_DIR");
    if (!folder) throw std::runtime_error("VKBERT_BIN_DIR is not set");
    const TemporaryFolder files;
    files.file("in", input);
    const std::string program = std::string(folder) + "/vkbert";
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        redirect(files.path() + "/in", O_RDONLY, STDIN_FILENO);
        redirect(files.path() + "/out", O_WRONLY | O_CREAT, STDOUT_FILENO);
        redirect(files.path() + "/err", O_WRONLY | O_CREAT, STDERR_FILENO);
        for (const auto& [name, value] : environment)
            value.empty() ? unsetenv(name.c_str()) : setenv(name.c_str(), value.c_str(), 1);
        execv(program.c_str(), argv.data());
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        throw std::runtime_error("the program could not be run");
    ProgramResult result;
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.out = read_file(files.path() + "/out");
    result.err = read_file(files.path() + "/err");
    return result;
}

}  // namespace vkbert::test
