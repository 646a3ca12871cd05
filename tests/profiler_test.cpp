// The profiler's table, and the ceilings on the device at hand.
#include "runtime/profiler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/test_device.hpp"

using namespace vkbert;
using testing::HasSubstr;

namespace {

/// Dispatches as a plan would hold them: label, kernel, seconds, flops, bytes.
struct Fake {
    Kernel matmul, softmax;
    std::vector<Dispatch> dispatches;
    std::vector<DispatchTime> times;
    Fake() {
        matmul.op = "matmul";
        matmul.name = "tiled";
        softmax.op = "softmax";
        softmax.name = "plain";
        dispatches.reserve(8);
        add("layer 0 ffn1", matmul, 0.002, 4e9, 2e7);
        add("layer 11 ffn1", matmul, 0.004, 8e9, 4e7);
        add("pooler", matmul, 0.001, 1e9, 0);
        add("head", softmax, 0.003, 0, 6e7);
    }
    void add(const char* label, const Kernel& kernel, double seconds, double flops, double bytes) {
        Dispatch d;
        d.label = label;
        d.kernel = &kernel;
        dispatches.push_back(d);
        times.push_back({&dispatches.back(), seconds, flops, bytes});
    }
};

}  // namespace

TEST(Profiler, FoldsNumbersThatAreWords) {
    EXPECT_EQ(fold_label("layer 3 ffn1"), "layer * ffn1");
    EXPECT_EQ(fold_label("layer 11 attention"), "layer * attention");
    EXPECT_EQ(fold_label("12"), "*");
    EXPECT_EQ(fold_label("word embedding rows 0 65536"), "word embedding rows * *");
    EXPECT_EQ(fold_label("ffn1 2x"), "ffn1 2x");
    EXPECT_EQ(fold_label(""), "");
    EXPECT_EQ(fold_label("qkv"), "qkv");
}

TEST(Profiler, AddsUpByLabelAndKernel) {
    const Fake fake;
    Profile profile;
    profile.add(fake.times);
    profile.add(fake.times);
    EXPECT_EQ(profile.runs(), 2u);
    EXPECT_DOUBLE_EQ(profile.seconds(), 0.020);
    const auto rows = profile.rows();
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].label, "layer * ffn1");
    EXPECT_EQ(rows[0].kernel, "matmul tiled");
    EXPECT_EQ(rows[0].calls, 4u);
    EXPECT_DOUBLE_EQ(rows[0].seconds, 0.012);
    EXPECT_DOUBLE_EQ(rows[0].share, 0.6);
    EXPECT_DOUBLE_EQ(rows[0].gflops_per_second(), 2000);
    EXPECT_DOUBLE_EQ(rows[0].gbytes_per_second(), 10);
    EXPECT_EQ(rows[1].label, "head");
    EXPECT_EQ(rows[2].label, "pooler");
}

TEST(Profiler, Table) {
    const Fake fake;
    Profile profile;
    profile.add(fake.times);
    profile.add(fake.times);
    EXPECT_EQ(profile.table(),
              "dispatch      kernel                calls         ms      %   GFLOP/s      GB/s\n"
              "layer * ffn1  matmul tiled              2      6.000   60.0    2000.0      10.0\n"
              "head          softmax plain             1      3.000   30.0         -      20.0\n"
              "pooler        matmul tiled              1      1.000   10.0    1000.0         -\n"
              "total                                   4     10.000  100.0    1300.0      12.0\n");
    EXPECT_EQ(
        profile.table({40e9, 4e12}),
        "dispatch      kernel                calls         ms      %   GFLOP/s  peak      GB/s  peak\n"
        "layer * ffn1  matmul tiled              2      6.000   60.0    2000.0   50%      10.0   25%\n"
        "head          softmax plain             1      3.000   30.0         -     -      20.0   50%\n"
        "pooler        matmul tiled              1      1.000   10.0    1000.0   25%         -     -\n"
        "total                                   4     10.000  100.0    1300.0   32%      12.0   30%\n");
    EXPECT_THAT(Profile().table(), HasSubstr("total"));
}

TEST(Ceilings, AreMeasuredOnTheDevice) {
    const double bytes = measure_copy_bandwidth(test::device()), flops = measure_fma_rate(test::device());
    // From the slowest software driver on one core to more than any device of today.
    EXPECT_GT(bytes, 5e7);
    EXPECT_LT(bytes, 1e14);
    EXPECT_GT(flops, 1e8);
    EXPECT_LT(flops, 1e15);
    RecordProperty("gbytes_per_second", fmt::format("{:.2f}", bytes * 1e-9));
    RecordProperty("gflops_per_second", fmt::format("{:.1f}", flops * 1e-9));
    for (const std::string& message : test::take_validation_messages()) ADD_FAILURE() << message;
}
