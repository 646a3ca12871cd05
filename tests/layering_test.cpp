// The arrow tools -> bert -> runtime -> shaders holds for every include of the repository.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace fs = std::filesystem;

static void expect_no_include(const char* folder, const std::regex& forbidden) {
    const char* root = std::getenv("VKBERT_SOURCE_DIR");
    ASSERT_NE(root, nullptr);
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(root) / folder)) {
        const std::string extension = entry.path().extension().string();
        if (extension != ".cpp" && extension != ".hpp" && extension != ".h" && extension != ".comp" &&
            extension != ".glsl")
            continue;
        ++files;
        std::ifstream file(entry.path());
        std::string line;
        for (int number = 1; std::getline(file, line); ++number)
            EXPECT_FALSE(std::regex_search(line, forbidden)) << entry.path() << ":" << number << ": " << line;
    }
    EXPECT_GT(files, 0u) << folder << " has no sources";
}

TEST(Layering, RuntimeKnowsNothingOfBertOrTools) {
    expect_no_include("runtime", std::regex(R"(#\s*include\s*["<](bert|tools|tests)/)"));
}
TEST(Layering, BertKnowsNothingOfTools) {
    expect_no_include("bert", std::regex(R"(#\s*include\s*["<](tools|tests)/)"));
}
TEST(Layering, ToolsKnowNothingOfTests) {
    expect_no_include("tools", std::regex(R"(#\s*include\s*["<]tests/)"));
}
TEST(Layering, TheLibraryNeverPrintsExitsOrReadsTheEnvironment) {
    const std::regex forbidden(
        R"(\b(getenv|secure_getenv|printf|fprintf|puts|abort|exit|_Exit)\s*\(|std::(cout|cerr|clog)\b)");
    expect_no_include("runtime", forbidden);
    expect_no_include("bert", forbidden);
}

static std::string text_of(const char* path) {
    const char* root = std::getenv("VKBERT_SOURCE_DIR");
    std::ifstream file(fs::path(root ? root : ".") / path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Documentation, TheRuntimesReadmeShowsTheProgramThatIsRun) {
    const std::string program = text_of("tools/examples/matmul.cpp");
    ASSERT_FALSE(program.empty());
    EXPECT_NE(text_of("runtime/README.md").find("```cpp\n" + program + "```\n"), std::string::npos)
        << "copy tools/examples/matmul.cpp into runtime/README.md";
}
