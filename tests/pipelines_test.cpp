// The pipeline cache: one pipeline a specialization, and a file that is never trusted.
#include "runtime/pipelines.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "runtime/files.hpp"
#include "tests/affine.hpp"
#include "tests/test_device.hpp"

using namespace vkbert;
using namespace vkbert::test;
namespace fs = std::filesystem;

namespace {

const Kernel& affine() {
    static const Kernel kernel = affine_kernel(shaders::test_affine_storage, BindingKind::storage);
    return kernel;
}

class PipelinesTest : public testing::Test {
  protected:
    PipelinesTest() {
        std::string name = (fs::temp_directory_path() / "vkbert-pipelines-XXXXXX").string();
        EXPECT_NE(mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    ~PipelinesTest() override {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    void TearDown() override {
        for (const std::string& message : take_validation_messages()) ADD_FAILURE() << message;
    }
    fs::path cache() const { return folder_ / "cache"; }
    std::vector<fs::path> files() const {
        std::vector<fs::path> found;
        if (fs::exists(cache()))
            for (const auto& entry : fs::directory_iterator(cache())) found.push_back(entry.path());
        return found;
    }
    /// A process that starts, compiles one pipeline and ends: what save() says.
    bool session(uint32_t shift = 1) const {
        const auto device = another_device(cache().string());
        PipelineCache pipelines(*device);
        EXPECT_NE(pipelines.get(affine(), {shift}, 12).pipeline, VkPipeline(VK_NULL_HANDLE));
        return pipelines.save();
    }
    fs::path folder_;
};

}  // namespace

TEST_F(PipelinesTest, OnePipelineForEachSpecialization) {
    PipelineCache cache(device());
    const Pipeline& first = cache.get(affine(), {1}, 12);
    EXPECT_EQ(&cache.get(affine(), {1}, 12), &first);
    EXPECT_EQ(cache.compiled(), 1u);
    EXPECT_NE(cache.get(affine(), {2}, 12).pipeline, first.pipeline);
    Kernel wider = affine();
    wider.constants[0] *= 2;
    EXPECT_NE(cache.get(wider, {1}, 12).pipeline, first.pipeline);
    EXPECT_EQ(cache.compiled(), 3u);
}

TEST_F(PipelinesTest, SavedOnceAndReloaded) {
    EXPECT_TRUE(session());
    ASSERT_EQ(files().size(), 1u);
    struct stat first {
    }, second{};
    ASSERT_EQ(stat(files()[0].c_str(), &first), 0);
    EXPECT_TRUE(session());
    ASSERT_EQ(files().size(), 1u) << "no temporary files stay";
    ASSERT_EQ(stat(files()[0].c_str(), &second), 0);
    EXPECT_EQ(first.st_ino, second.st_ino) << "what came from the file is not written again";
    EXPECT_TRUE(session(2));
    ASSERT_EQ(stat(files()[0].c_str(), &second), 0);
    EXPECT_NE(first.st_ino, second.st_ino) << "a new pipeline is";
    EXPECT_GT(second.st_size, first.st_size);
    EXPECT_TRUE(session(1));
    EXPECT_TRUE(session(2));
    ASSERT_EQ(stat(files()[0].c_str(), &first), 0);
    EXPECT_EQ(first.st_ino, second.st_ino) << "the file knows both";
}

TEST_F(PipelinesTest, NoFolderKeepsNothing) {
    PipelineCache cache(device());
    cache.get(affine(), {1}, 12);
    EXPECT_FALSE(cache.save());
}

TEST_F(PipelinesTest, DamagedAndForeignFilesAreIgnoredAndReplaced) {
    ASSERT_TRUE(session());
    ASSERT_EQ(files().size(), 1u);
    const std::string path = files()[0].string();
    using Bytes = std::string;
    const Bytes good = read_text_file(path, 1 << 20);
    ASSERT_GT(good.size(), 64u);
    const std::pair<const char*, std::function<void(Bytes&)>> damages[] = {
        {"empty", [](Bytes& b) { b.clear(); }},
        {"one byte", [](Bytes& b) { b.resize(1); }},
        {"half a header", [](Bytes& b) { b.resize(30); }},
        {"a header alone", [](Bytes& b) { b.resize(56); }},
        {"truncated", [](Bytes& b) { b.pop_back(); }},
        {"trailing byte", [](Bytes& b) { b.push_back(1); }},
        {"magic", [](Bytes& b) { b[0] ^= 1; }},
        {"version", [](Bytes& b) { b[4] ^= 1; }},
        {"another driver", [](Bytes& b) { b[8] ^= 1; }},
        {"another vendor", [](Bytes& b) { b[24] ^= 1; }},
        {"another device", [](Bytes& b) { b[28] ^= 1; }},
        {"another driver version", [](Bytes& b) { b[32] ^= 1; }},
        {"absurd number of keys", [](Bytes& b) { b[39] = char(0xff); }},
        {"absurd length", [](Bytes& b) { b[47] = char(0xff); }},
        {"checksum", [](Bytes& b) { b[48] ^= 1; }},
        {"flipped data bit", [](Bytes& b) { b[60] ^= 0x40; }},
        {"a megabyte of noise", [](Bytes& b) { b.assign(1 << 20, char(0xa5)); }},
    };
    for (const auto& [name, damage] : damages) {
        Bytes bytes = good;
        damage(bytes);
        AtomicFile file(path);
        file.write(bytes);
        file.commit();
        EXPECT_TRUE(session()) << name;
        EXPECT_EQ(files().size(), 1u) << name;
        EXPECT_NE(read_text_file(path, 1 << 20), bytes) << name << ": replaced by a good one";
    }
}

TEST_F(PipelinesTest, AFolderThatCannotBeWrittenIsNoError) {
    const fs::path blocked = folder_ / "file";
    AtomicFile(blocked).commit();
    for (const fs::path& bad : {blocked, blocked / "below", fs::path("/proc/nowhere/below")}) {
        const auto device = another_device(bad.string());
        PipelineCache pipelines(*device);
        pipelines.get(affine(), {1}, 12);
        EXPECT_FALSE(pipelines.save()) << bad;
    }
}

TEST_F(PipelinesTest, AFolderInPlaceOfTheFileIsNoError) {
    ASSERT_TRUE(session());
    ASSERT_EQ(files().size(), 1u);
    const fs::path path = files()[0];
    fs::remove(path);
    fs::create_directory(path);
    EXPECT_FALSE(session());
    EXPECT_EQ(files().size(), 1u) << "no temporary files stay";
}

TEST_F(PipelinesTest, StatisticsWhereTheDriverHasThem) {
    PipelineCache cache(device());
    const auto statistics = cache.statistics(affine(), {1}, 12);
    if (!device().capabilities().pipeline_statistics) {
        EXPECT_TRUE(statistics.empty());
    }
    for (const PipelineStatistic& s : statistics) EXPECT_FALSE(s.name.empty());
    EXPECT_EQ(cache.compiled(), 0u);
}
