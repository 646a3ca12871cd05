// The vkbert command as a person or a script meets it: exit codes, messages, help, and the shapes of its
// results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "tests/run_program.hpp"

namespace vkbert::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n[\n]\na\n,\nb\n";

/// A folder that tokenize can use.
class Cli : public testing::Test {
  protected:
    void SetUp() override { model_.file("vocab.txt", vocabulary); }
    ProgramResult tokenize(std::vector<std::string> arguments, const std::string& input = "") const {
        arguments.insert(arguments.begin(), {"tokenize", "--model", model_.path()});
        return run_vkbert(arguments, {}, input);
    }
    TemporaryFolder model_;
};

/// One line that names the program, and nothing on standard output.
void expect_error(const ProgramResult& result, int code, const std::string& words) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, StartsWith("vkbert: "));
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST_F(Cli, HelpAndVersion) {
    EXPECT_THAT(run_vkbert({"--version"}).out, StartsWith("vkbert "));
    for (const char* command : {"devices", "selftest", "tokenize", "bench", "tune", "embed", "fill-mask",
                                "next-sentence", "classify", "tag", "answer", "choose", "pull"}) {
        EXPECT_THAT(run_vkbert({"--help"}).out, HasSubstr(command));
        const ProgramResult help = run_vkbert({command, "--help"});
        EXPECT_EQ(help.exit_code, 0) << command;
        EXPECT_THAT(help.out, HasSubstr("Example")) << command;
        EXPECT_THAT(help.out, HasSubstr("--device")) << command;
    }
}

TEST_F(Cli, WrongUsage) {
    expect_error(run_vkbert({}), 2, "subcommand");
    expect_error(run_vkbert({"embroider"}), 2, "there is no command 'embroider'");
    expect_error(run_vkbert({"embed", "--bogus", "a"}), 2, "there is no option '--bogus'");
    expect_error(run_vkbert({"embed", "a"}), 2, "no model");
    expect_error(run_vkbert({"embed", "--precision", "fp8", "a"}), 2, "--precision");
    expect_error(run_vkbert({"embed", "--model", "/no/such/folder", "a"}), 2, "/no/such/folder");
    expect_error(run_vkbert({"bench", "matmull"}), 2,
                 "'matmull'; there are matmul, matmul-dx, matmul-dw, attention");
    expect_error(run_vkbert({"bench", "matmul", "--rows", "0"}), 2, "--rows");
    expect_error(run_vkbert({"bench", "matmul", "--shape", "768"}), 2, "'768'");
    expect_error(run_vkbert({"bench", "matmul", "--lengths", "f"}), 2, "--lengths");
    expect_error(run_vkbert({"bench", "attention", "--rows", "8"}), 2, "--batch");
    expect_error(run_vkbert({"bench", "pool", "--batch", "99999", "--length", "512"}), 2, "too many");
    expect_error(run_vkbert({"bench", "--rows", "8"}), 2, "--rows");
    expect_error(tokenize({"--input", "/no/such/file"}), 2, "/no/such/file");
    expect_error(tokenize({"--input", model_.path()}), 2, "is a folder");
    expect_error(tokenize({"a", "--input", model_.path() + "/vocab.txt"}), 2, "not both");
}

TEST_F(Cli, CompletionScriptsAndManPage) {
    for (const char* kind : {"bash", "zsh", "fish", "man"}) {
        const ProgramResult result = run_vkbert({"completion", kind});
        EXPECT_EQ(result.exit_code, 0);
        EXPECT_THAT(result.out, HasSubstr("embed"));
    }
}

TEST_F(Cli, TokenizesTextsAsTheyAre) {
    EXPECT_EQ(tokenize({"Hello worlds", "--pair", "hello"}).out,
              "{\"ids\":[2,5,6,7,3,5,3],\"tokens\":[\"[CLS]\",\"hello\",\"world\",\"##s\",\"[SEP]\","
              "\"hello\",\"[SEP]\"],"
              "\"type_ids\":[0,0,0,0,0,1,1],\"offsets\":[[0,0],[0,5],[6,11],[11,12],[0,0],[0,5],[0,0]]}\n");
    EXPECT_THAT(tokenize({"[a,b]"}).out, HasSubstr("\"ids\":[2,8,10,11,12,9,3]"));
    EXPECT_THAT(tokenize({"[MASK] a [MASK]"}).out, HasSubstr("\"ids\":[2,4,10,4,3]"));
    EXPECT_THAT(tokenize({""}).out, HasSubstr("\"ids\":[2,3]"));
    EXPECT_THAT(tokenize({"--", "--a"}).out, HasSubstr("10,3]"));
}

TEST_F(Cli, ReadsEveryFormat) {
    EXPECT_THAT(tokenize({}, "hello\r\n\xEF\xBB\xBFworld").out, HasSubstr("\"ids\":[2,5,3]"));
    const std::string pair = "\"ids\":[2,5,3,6,3]";
    EXPECT_THAT(tokenize({"--input-format", "tsv"}, "hello\tworld\n").out, HasSubstr(pair));
    EXPECT_THAT(tokenize({"--input-format", "tsv"}, "pair\tx\ttext\nworld\t1\thello\n").out, HasSubstr(pair));
    EXPECT_THAT(tokenize({"--input-format", "jsonl"}, "{\"text\":\"hello\",\"pair\":\"world\"}\n\n").out,
                HasSubstr(pair));
    const ProgramResult empty = tokenize({}, "");
    EXPECT_EQ(empty.exit_code, 0);
    EXPECT_EQ(empty.out, "");
}

TEST_F(Cli, BadInputNamesFileAndLine) {
    struct Row {
        const char *format, *content, *words;
    };
    const Row rows[] = {
        {"lines", "a\n\xff\n", ":2: byte 1 (0xff) is not valid UTF-8"},
        {"lines", "\xed\xa0\x80", ":1: byte 1"},
        {"lines", "a\xc3", ":1: byte 2"},
        {"jsonl", "{\"text\":\"a\"}\n{", ":2"},
        {"jsonl", "[1]", "no JSON object"},
        {"jsonl", "{\"txt\":\"a\"}", "no field \"text\""},
        {"jsonl", "{\"text\":7}", "no text"},
        {"tsv", "x\ttext\na\n", ":2: has 1 columns"},
    };
    for (const Row& row : rows) {
        const std::string path = model_.file("input", row.content);
        const ProgramResult result = tokenize({"--input", path, "--input-format", row.format});
        EXPECT_EQ(result.exit_code, 2) << row.content;
        EXPECT_THAT(result.err, HasSubstr(path));
        EXPECT_THAT(result.err, HasSubstr(row.words));
    }
}

TEST_F(Cli, ALineOfTenMegabytes) {
    std::string text;
    while (text.size() < 10'000'000) text += "hello world ";
    const ProgramResult result = tokenize({"--max-length", "8"}, text + "\n");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\"ids\":[2,5,6,5,6,5,6,3]"));
}

TEST_F(Cli, BadModels) {
    expect_error(run_vkbert({"embed", "--model", model_.path(), "a"}), 2, "config.json");
    const TemporaryFolder broken;
    broken.file("vocab.txt", vocabulary);
    broken.file("config.json", "{\"model_type\":\"bert\",\"hidden_size\":0}");
    expect_error(run_vkbert({"embed", "--model", broken.path(), "a"}), 2, "config.json");
    const char* source = std::getenv("VKBERT_SOURCE_DIR");
    ASSERT_NE(source, nullptr);
    broken.file("config.json", read_file(std::string(source) + "/tests/golden/encoder/config.json"));
    expect_error(run_vkbert({"embed", "--model", broken.path(), "a"}), 2, broken.path());
    broken.file("model.safetensors", "short");
    expect_error(run_vkbert({"embed", "--model", broken.path(), "a"}), 2, "model.safetensors");
    expect_error(run_vkbert({"tokenize", "--model", broken.file("x", ""), "a"}), 2, "is a file");
}

TEST_F(Cli, AFullDiskIsNoSuccess) {
    if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    const char* folder = std::getenv("VKBERT_BIN_DIR");
    ASSERT_NE(folder, nullptr);
    const std::string command = std::string(folder) + "/vkbert tokenize --model " + model_.path() +
                                " hello > /dev/full 2> " + model_.path() + "/err";
    const int status = std::system(command.c_str());
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_THAT(read_file(model_.path() + "/err"), HasSubstr("standard output"));
}

TEST_F(Cli, NoDevice) {
    const ProgramResult none = run_vkbert(
        {"devices"}, {{"VK_ICD_FILENAMES", "/nonexistent.json"}, {"VK_DRIVER_FILES", "/nonexistent.json"}});
    expect_error(none, 3, "Vulkan");
    expect_error(run_vkbert({"devices", "--device", "no such device"}), 3, "no such device");
}

}  // namespace
}  // namespace vkbert::test
