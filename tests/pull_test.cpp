// `vkbert pull` against a server on the loopback that answers, and misbehaves, as the Hugging Face Hub does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>

#include "tests/run_program.hpp"

namespace vkbert::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

const char* const commit = "0123456789abcdef0123456789abcdef01234567";
const char* const config = "{\"model_type\": \"bert\"}";

class Pull : public testing::Test {
  protected:
    void SetUp() override {
        const char* source = std::getenv("VKBERT_SOURCE_DIR");
        ASSERT_NE(source, nullptr);
        const std::string script = std::string(source) + "/tests/hub_server.py",
                          log = folder_.path() + "/log";
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        server_ = fork();
        if (server_ == 0) {
            dup2(ends[1], STDOUT_FILENO);
            execlp("python3", "python3", script.c_str(), log.c_str(), static_cast<char*>(nullptr));
            _exit(127);
        }
        close(ends[1]);
        std::FILE* ports = fdopen(ends[0], "r");
        const int count = std::fscanf(ports, "%d %d", &port_, &cdn_port_);
        std::fclose(ports);
        ASSERT_EQ(count, 2) << "python3 is needed to run " << script;
    }
    void TearDown() override {
        if (server_ <= 0) return;
        kill(server_, SIGTERM);
        waitpid(server_, nullptr, 0);
    }

    ProgramResult pull(const std::string& name, std::map<std::string, std::string> more = {},
                       const std::vector<std::string>& options = {}) const {
        std::map<std::string, std::string> environment = {
            {"HF_ENDPOINT", "http://127.0.0.1:" + std::to_string(port_)},
            {"HF_HOME", folder_.path() + "/home"},
            {"HF_HUB_CACHE", ""},
            {"HUGGINGFACE_HUB_CACHE", ""},
            {"HF_TOKEN", ""},
            {"HF_TOKEN_PATH", ""},
            {"HUGGING_FACE_HUB_TOKEN", ""},
            {"HF_HUB_OFFLINE", ""},
            {"http_proxy", ""},
            {"all_proxy", ""},
            {"ALL_PROXY", ""}};
        for (const auto& [key, value] : more) environment[key] = value;
        std::vector<std::string> arguments = {"pull", name};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return run_vkbert(arguments, environment);
    }
    fs::path model(const std::string& name) const {
        return fs::path(folder_.path()) / "home/hub" / ("models--test--" + name);
    }
    fs::path snapshot(const std::string& name) const { return model(name) / "snapshots" / commit; }
    std::string weights_name() const {
        return fs::read_symlink(snapshot("plain") / "model.safetensors").filename();
    }
    std::string log() const { return read_file(folder_.path() + "/log"); }
    size_t requests(const std::string& part) const {
        size_t count = 0;
        const std::string text = log();
        for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
        return count;
    }
    void expect_complete(const ProgramResult& result, const std::string& name) const {
        EXPECT_EQ(result.exit_code, 0) << result.err;
        EXPECT_EQ(read_file(snapshot(name) / "config.json"), config);
        EXPECT_TRUE(fs::exists(snapshot(name) / "model.safetensors"));
        EXPECT_EQ(read_file(snapshot(name) / "model.safetensors").size(), 1u << 20);
        EXPECT_EQ(read_file(model(name) / "refs/main"), commit);
        for (const auto& entry : fs::directory_iterator(model(name) / "blobs"))
            EXPECT_NE(entry.path().extension(), ".incomplete");
    }
    void expect_failure(const ProgramResult& result, const std::string& words) const {
        EXPECT_EQ(result.exit_code, 1) << result.err;
        EXPECT_EQ(result.out, "");
        EXPECT_THAT(result.err, HasSubstr(words));
        EXPECT_THAT(result.err, HasSubstr("vkbert: "));
    }

    TemporaryFolder folder_;
    int port_ = 0, cdn_port_ = 0;
    pid_t server_ = 0;
};

TEST_F(Pull, FillsTheCacheAsHuggingFaceDoes) {
    const ProgramResult result = pull("test/plain");
    expect_complete(result, "plain");
    EXPECT_THAT(result.out, HasSubstr(std::string("\"commit\":\"") + commit + "\""));
    EXPECT_THAT(result.out, HasSubstr("\"files\":5,"));
    EXPECT_EQ(fs::read_symlink(snapshot("plain") / "config.json"),
              "../../blobs/46332c50668921e90868a1d44a2550bb60ffdb1d");
    EXPECT_EQ(
        fs::read_symlink(snapshot("plain") / "1_Pooling/config.json").string().rfind("../../../blobs/", 0),
        0u);
    EXPECT_EQ(read_file(snapshot("plain") / "empty.txt"), "");
    EXPECT_EQ(weights_name().size(), 64u);
    for (const char* unwanted : {"tf_model.h5", "onnx", "pytorch_model.bin", ".gitattributes"})
        EXPECT_FALSE(fs::exists(snapshot("plain") / unwanted)) << unwanted;
}

TEST_F(Pull, AsksOnceWhenAllIsThere) {
    expect_complete(pull("test/plain"), "plain");
    const size_t before = requests("\n");
    const ProgramResult again = pull("test/plain");
    expect_complete(again, "plain");
    EXPECT_THAT(again.out, HasSubstr("\"fetched_bytes\":0"));
    EXPECT_EQ(requests("\n"), before + 1);
}

TEST_F(Pull, RecordsTheRevision) {
    const ProgramResult result = pull("test/plain", {}, {"--revision", "v1"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(read_file(model("plain") / "refs/v1"), commit);
    EXPECT_FALSE(fs::exists(model("plain") / "refs/main"));
}

TEST_F(Pull, GoesOnAfterADroppedConnection) {
    const ProgramResult result = pull("test/dropped");
    expect_complete(result, "dropped");
    EXPECT_THAT(result.err, HasSubstr("trying again"));
    EXPECT_GE(requests("\"range\": \"bytes="), 3u);
}

TEST_F(Pull, GoesOnWhereAnEarlierRunStopped) {
    expect_complete(pull("test/plain"), "plain");
    const std::string name = weights_name(), whole = read_file(snapshot("plain") / "model.safetensors");
    folder_.file("home/hub/models--test--resumed/blobs/" + name + ".incomplete", whole.substr(0, 1'000'000));
    const ProgramResult result = pull("test/resumed");
    expect_complete(result, "resumed");
    EXPECT_EQ(requests("\"range\": \"bytes=1000000-\""), 2u);  // the hub, then where it redirects to
    EXPECT_EQ(read_file(snapshot("resumed") / "model.safetensors"), whole);
}

TEST_F(Pull, DistrustsADamagedBeginning) {
    expect_complete(pull("test/plain"), "plain");
    folder_.file("home/hub/models--test--damaged/blobs/" + weights_name() + ".incomplete",
                 std::string(500'000, 'x'));
    expect_complete(pull("test/damaged"), "damaged");
    folder_.file("home/hub/models--test--longer/blobs/" + weights_name() + ".incomplete",
                 std::string(5'000'000, 'x'));
    expect_complete(pull("test/longer"), "longer");
}

TEST_F(Pull, StartsAgainWhenTheServerHasNoRanges) {
    expect_complete(pull("test/plain"), "plain");
    const std::string whole = read_file(snapshot("plain") / "model.safetensors");
    folder_.file("home/hub/models--test--no-ranges/blobs/" + weights_name() + ".incomplete",
                 whole.substr(0, 500'000));
    expect_complete(pull("test/no-ranges"), "no-ranges");
    EXPECT_EQ(read_file(snapshot("no-ranges") / "model.safetensors"), whole);
}

TEST_F(Pull, KeepsNothingWithAWrongChecksum) {
    expect_failure(pull("test/wrong-checksum"), "checksum");
    EXPECT_FALSE(fs::exists(snapshot("wrong-checksum") / "model.safetensors"));
    EXPECT_FALSE(fs::exists(model("wrong-checksum") / "refs/main"));
    for (const auto& entry : fs::directory_iterator(model("wrong-checksum") / "blobs"))
        EXPECT_LT(entry.path().filename().string().size(), 64u) << entry.path();
}

TEST_F(Pull, FollowsRedirectsWithinTheHub) {
    expect_complete(pull("test/relative"), "relative");
}

TEST_F(Pull, WaitsWhenTheHubIsBusy) {
    expect_complete(pull("test/busy"), "busy");
    expect_complete(pull("test/flaky"), "flaky");
}

TEST_F(Pull, SendsTheTokenToTheHubAlone) {
    expect_failure(pull("test/private"), "HF_TOKEN");
    expect_failure(pull("test/private", {{"HF_TOKEN", "wrong"}}), "does not accept the token");
    expect_complete(pull("test/private", {{"HF_TOKEN", "secret"}}), "private");
    folder_.file("home/token", "secret\n");
    EXPECT_EQ(pull("test/private").exit_code, 0);
    const std::string text = log();
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = text.find('\n', begin);
        const std::string line = text.substr(begin, end - begin);
        if (line.find("\"port\": " + std::to_string(cdn_port_)) != std::string::npos) {
            EXPECT_THAT(line, HasSubstr("\"token\": \"\""));
        }
        begin = end + 1;
    }
    EXPECT_GE(requests("\"port\": " + std::to_string(cdn_port_)), 1u);
}

TEST_F(Pull, SaysWhatIsWrong) {
    expect_failure(pull("test/missing"), "test/missing: not found");
    expect_failure(pull("test/plain", {}, {"--revision", "v9"}), "revision");
    expect_failure(pull("test/gated"), "restricted");
    expect_failure(pull("test/nonsense"), "HF_ENDPOINT");
    expect_failure(pull("test/loop"), "redirects");
    expect_failure(pull("test/escape"), "leads out of the model's folder");
    expect_failure(pull("test/no-weights"), "model.safetensors");
    expect_failure(pull("test/plain", {{"HF_HUB_OFFLINE", "1"}}), "HF_HUB_OFFLINE");
    EXPECT_EQ(pull("../evil").exit_code, 2);
    EXPECT_EQ(pull("a/b/c").exit_code, 2);
    EXPECT_EQ(pull("test/plain", {{"HF_ENDPOINT", "ftp://127.0.0.1"}}).exit_code, 2);
    EXPECT_FALSE(fs::exists(fs::path(folder_.path()) / "home/hub/escaped.json"));
}

TEST_F(Pull, TwoAtATimeFetchOnce) {
    auto first = std::async(std::launch::async, [&] { return pull("test/slow"); });
    auto second = std::async(std::launch::async, [&] { return pull("test/slow"); });
    const ProgramResult a = first.get(), b = second.get();
    expect_complete(a, "slow");
    expect_complete(b, "slow");
    EXPECT_EQ(requests("/cdn/test/slow"), 1u);
}

TEST_F(Pull, ReportsAFullDisk) {
    if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    expect_complete(pull("test/plain"), "plain");
    const std::string place = "home/hub/models--test--full/blobs/";
    folder_.file(place + "keep", "");
    fs::create_symlink("/dev/full", folder_.path() + "/" + place + weights_name() + ".incomplete");
    const ProgramResult result = pull("test/full");
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr(".incomplete"));
}

TEST_F(Pull, QuietSaysNothingWhenAllIsWell) {
    const ProgramResult result = pull("test/plain", {}, {"--quiet"});
    expect_complete(result, "plain");
    EXPECT_EQ(result.err, "");
}

}  // namespace
}  // namespace vkbert::test
