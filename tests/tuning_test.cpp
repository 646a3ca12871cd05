// Measured choices: what they apply to, and texts that are not to be believed. On devices that exist only as
// data.
#include "runtime/tuning.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "runtime/ops/matmul.hpp"

using namespace vkbert;
using testing::HasSubstr;
using testing::StartsWith;

namespace {

Capabilities gpu() {
    Capabilities c;
    c.device_name = "Test GPU";
    c.device_class = DeviceClass::discrete;
    c.vendor_id = 0x10de, c.device_id = 0x2330, c.driver_version = 7;
    for (uint8_t i = 0; i < 16; ++i) c.pipeline_cache_uuid[i] = uint8_t(17 * i);
    c.max_invocations = c.max_workgroup_size[0] = 1024;
    c.max_shared_memory = 32768;
    c.max_storage_buffers = 16;
    c.subgroup_size = c.min_subgroup_size = c.max_subgroup_size = 32;
    c.subgroup_basic = c.subgroup_arithmetic = true;
    return c;
}

ops::MatmulProblem problem(uint32_t m, ops::Orientation orientation = ops::Orientation::nt) {
    return {.m = m, .n = 768, .k = 3072, .orientation = orientation, .a_pitch = 3072, .b_pitch = 3072};
}

Tuning some() {
    Tuning tuning;
    tuning.set("matmul", Type::fp32, {"nt", 768, 3072, 1000}, "tiled_32");
    tuning.set("matmul", Type::fp16, {"tn", 768, 768, 8192}, "plain");
    tuning.set("attention_forward", Type::fp32, {.columns = 64}, "tiled");
    return tuning;
}

std::string_view chosen(const Tuning& tuning, const ops::MatmulProblem& p, const Capabilities& c = gpu(),
                        const KernelChoices& forced = {}) {
    return ops::choose_matmul(c, forced, p, tuning).name;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), by);
}

}  // namespace

TEST(Tuning, ATextGivesTheSameAgain) {
    const std::string text = some().text(gpu());
    EXPECT_THAT(text, StartsWith("vkbert tuning 1\ndevice 000010de 00002330 driver 00112233"));
    EXPECT_THAT(text, HasSubstr("\nmatmul fp32 nt 768 3072 1024 tiled_32\n"));
    EXPECT_EQ(Tuning::parse(text, gpu()), some());
    EXPECT_EQ(Tuning::parse(Tuning().text(gpu()), gpu()), Tuning());
    EXPECT_EQ(some().size(), 3u);
}

TEST(Tuning, IsOfOneDeviceDriverAndBuild) {
    const std::string text = some().text(gpu());
    const std::function<void(Capabilities&)> others[] = {
        [](Capabilities& c) { c.vendor_id = 0x1002; }, [](Capabilities& c) { c.device_id = 1; },
        [](Capabilities& c) { c.driver_version = 8; }, [](Capabilities& c) { c.pipeline_cache_uuid[15] = 0; },
        [](Capabilities& c) { c.subgroup_size = 16; }};
    for (const auto& change : others) {
        Capabilities other = gpu();
        change(other);
        EXPECT_EQ(Tuning::parse(text, other), std::nullopt);
        EXPECT_NE(some().text(other), text);
    }
    const size_t hash = text.find("kernels ") + 8;
    std::string other_build = text;
    other_build[hash] = text[hash] == '0' ? '1' : '0';
    EXPECT_EQ(Tuning::parse(other_build, gpu()), std::nullopt);
    Capabilities second = gpu();
    second.device_id = 1;
    EXPECT_NE(tuning_file_name(gpu()), tuning_file_name(second)) << "one file a device";
}

TEST(Tuning, DamagedTextsAreRefused) {
    const std::string text = some().text(gpu()), line = "matmul fp32 nt 768 3072 1024 tiled_32";
    for (size_t size = 0; size < text.size(); ++size)
        EXPECT_EQ(Tuning::parse(text.substr(0, size), gpu()), std::nullopt) << size;
    const std::string bad_lines[] = {
        "",
        "matmul",
        "matmul fp32 nt 768 3072 1024",
        "matmul fp32 nt 768 3072 1024 ",
        "matmul fp32 nt 768 3072 1024 tiled_32 ",
        "matmul fp32 nt 768 3072 1024 tiled 32",
        "matmul  fp32 nt 768 3072 1024 tiled_32",
        "matmul fp8 nt 768 3072 1024 tiled_32",
        "matmul fp32 tt 768 3072 1024 tiled_32",
        "matmul fp32 nt -768 3072 1024 tiled_32",
        "matmul fp32 nt 0 3072 1024 tiled_32",
        "matmul fp32 nt 768 3072x 1024 tiled_32",
        "matmul fp32 nt 768 99999999999 1024 tiled_32",
        "matmul fp32 nt 768 3072 1000 tiled_32",
        "matmul fp32 nt 768 3072 1024 tiled\xff",
        "mat\xc3 fp32 nt 768 3072 1024 tiled_32",
        std::string("mat\0mul fp32 nt 768 3072 1024 tiled_32", 38),
        "matmul fp32 nt 768 3072 1024 " + std::string(65, 'a'),
        "matmul fp16 tn 768 768 8192 plain",  // is there already
    };
    for (const std::string& bad : bad_lines)
        EXPECT_EQ(Tuning::parse(replaced(text, line, bad), gpu()), std::nullopt) << bad;
    for (const char* end :
         {"end 2\n", "end 4\n", "end 3", "end 3\n\n", "end 3\nend 3\n", "end 03\n", "END 3\n"})
        EXPECT_EQ(Tuning::parse(replaced(text, "end 3\n", end), gpu()), std::nullopt) << end;
    EXPECT_EQ(Tuning::parse(replaced(text, "tuning 1", "tuning 2"), gpu()), std::nullopt);
    EXPECT_EQ(Tuning::parse(replaced(text, "\n", "\r\n"), gpu()), std::nullopt);
    EXPECT_EQ(Tuning::parse("\xef\xbb\xbf" + text, gpu()), std::nullopt);
    EXPECT_EQ(Tuning::parse(std::string(1 << 16, '\xa5'), gpu()), std::nullopt);
}

TEST(Tuning, ATextThatIsTooLongIsRefused) {
    Tuning tuning;
    uint32_t columns = 1;
    const auto add = [&](uint32_t count) {
        for (; count > 0; --count) tuning.set("matmul", Type::fp32, {"nt", columns++, 768, 128}, "plain");
    };
    add(30000);  // lines of 35 bytes at most
    EXPECT_LE(tuning.text(gpu()).size(), Tuning::most_bytes);
    EXPECT_EQ(Tuning::parse(tuning.text(gpu()), gpu()), tuning);
    add(10000);
    EXPECT_GT(tuning.text(gpu()).size(), Tuning::most_bytes);
    EXPECT_EQ(Tuning::parse(tuning.text(gpu()), gpu()), std::nullopt);
}

TEST(Tuning, AChoiceServesItsPowerOfTwoAndThoseBesideIt) {
    const Tuning tuning = some();
    const auto found = [&](uint32_t rows) {
        const Kernel* kernel =
            tuning.find(ops::matmul_kernels(Type::fp32), gpu(), Type::fp32, {"nt", 768, 3072, rows});
        return kernel ? kernel->name : "";
    };
    for (const uint32_t rows : {257u, 512u, 513u, 1000u, 1024u, 1025u, 2048u})
        EXPECT_EQ(found(rows), "tiled_32");
    for (const uint32_t rows : {0u, 1u, 256u, 2049u, 4294967295u}) EXPECT_EQ(found(rows), "") << rows;
    Tuning more = tuning;
    more.set("matmul", Type::fp32, {"nt", 768, 3072, 2048}, "plain");
    EXPECT_EQ(chosen(more, problem(1500)), "plain") << "its own comes first";
    EXPECT_EQ(chosen(more, problem(1024)), "tiled_32");
    more.erase("matmul", Type::fp32, {"nt", 768, 3072, 1100});
    EXPECT_EQ(more, tuning);
    EXPECT_NE(tuning.find(ops::attention_forward_kernels(Type::fp32), gpu(), Type::fp32, {.columns = 64}),
              nullptr);
    EXPECT_EQ(tuning.find(ops::attention_forward_kernels(Type::fp32), gpu(), Type::fp32, {}), nullptr);
    EXPECT_EQ(tuning.find({}, gpu(), Type::fp32, {"nt", 768, 3072, 1024}), nullptr);
}

TEST(ChooseMatmul, TakesTheForcedThenTheTunedThenTheBuiltIn) {
    const std::string_view built_in = chosen({}, problem(1024));
    ASSERT_NE(built_in, "tiled_32");
    EXPECT_EQ(chosen(some(), problem(1024)), "tiled_32");
    EXPECT_EQ(chosen(some(), problem(1024), gpu(), {{"matmul", "plain"}}), "plain");
    EXPECT_EQ(chosen(some(), problem(1024, ops::Orientation::nn)), built_in) << "another orientation";
    ops::MatmulProblem other = problem(1024);
    other.n = 772;
    EXPECT_EQ(chosen(some(), other), built_in) << "another shape";
    EXPECT_EQ(chosen(some(), problem(128)), chosen({}, problem(128))) << "other rows";
}

TEST(ChooseMatmul, TheRowsOfAWeightsGradientAreItsSteps) {
    ops::MatmulProblem p{.m = 768, .n = 768, .k = 8192, .type = Type::fp16};
    p.orientation = ops::Orientation::tn, p.a_pitch = p.b_pitch = 768;
    ASSERT_NE(chosen({}, p), "plain");
    EXPECT_EQ(chosen(some(), p), "plain");
    p.k = 4096;
    EXPECT_EQ(chosen(some(), p), "plain");
    p.k = 1024;
    EXPECT_EQ(chosen(some(), p), chosen({}, p));
}

TEST(ChooseMatmul, ATunedVariantThatCannotBeIsPassedOver) {
    const std::string_view built_in = chosen({}, problem(1024));
    const auto tuned = [](std::string_view variant) {
        Tuning tuning;
        tuning.set("matmul", Type::fp32, {"nt", 768, 3072, 1024}, variant);
        return tuning;
    };
    EXPECT_EQ(chosen(tuned("no_such_variant"), problem(1024)), built_in);
    EXPECT_EQ(chosen(tuned("cpu_pointer_16"), problem(1024)), built_in) << "this device cannot run it";
    Capabilities small = gpu();
    small.max_shared_memory = 1024;
    EXPECT_EQ(chosen(tuned("tiled_128"), problem(1024), small), chosen({}, problem(1024), small));
    Capabilities texels = gpu();
    texels.subgroup_quad = true;
    texels.max_texel_elements = 1 << 20;
    EXPECT_EQ(chosen(tuned("cpu_texel_16"), problem(1024), texels), "cpu_texel_16");
    texels.max_texel_elements = 65536;
    EXPECT_EQ(chosen(tuned("cpu_texel_16"), problem(1024), texels), built_in) << "operands too large for it";
}
