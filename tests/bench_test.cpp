// vkbert bench KERNEL as a person or a script meets it: which variants it times, and the shape of its
// results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "runtime/ops.hpp"
#include "tests/run_program.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ProgramResult bench(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "bench");
    arguments.insert(arguments.end(), {"--device", device().capabilities().device_name, "--repeat", "2"});
    return run_vkbert(arguments);
}

std::vector<json> lines_of(const ProgramResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::vector<json> lines;
    std::istringstream text(result.out);
    for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
    return lines;
}

/// Names of the variants of an op of fp32 that this device can run.
std::set<std::string> variants_of(const std::string& op) {
    std::set<std::string> names;
    const std::vector<ops::KernelTable> tables = ops::all_kernels();
    for (const Kernel& kernel :
         std::ranges::find(tables, op, &ops::KernelTable::op)->kernels)  // fp32 comes first
        if (satisfies(device().capabilities(), kernel)) names.emplace(kernel.name);
    return names;
}

TEST(Bench, TimesEveryVariantOfEveryKernelAndMarksOneAsChosen) {
    const std::map<std::string, std::string> ops{{"matmul", "matmul"},
                                                 {"attention", "attention_forward"},
                                                 {"layernorm", "layernorm_forward"},
                                                 {"softmax", "softmax_forward"},
                                                 {"embedding", "embedding_forward"},
                                                 {"pool", "pool_forward"},
                                                 {"top-k", "top_k"}};
    for (const auto& [kernel, op] : ops) {
        std::map<std::string, std::set<std::string>> variants;  // of each case
        std::map<std::string, int> chosen;
        for (const json& line :
             lines_of(bench({kernel, "--shape", "1,16,2,32", "--batch", "2", "--length", "3", "--json"}))) {
            EXPECT_EQ(line.at("op"), op);
            EXPECT_EQ(line.at("type"), "fp32");
            EXPECT_GT(line.at("best_milliseconds"), 0.0);
            EXPECT_GE(line.at("milliseconds"), line.at("best_milliseconds"));
            EXPECT_GT(line.at("gigabytes_per_second"), 0.0);
            EXPECT_GT(line.at("compile_seconds"), 0.0);
            variants[line.at("case")].insert(line.at("variant"));
            chosen[line.at("case")] += line.at("chosen").get<bool>();
        }
        EXPECT_EQ(variants.size(), kernel == "matmul" ? 4u : 1u) << kernel;
        for (const auto& [name, timed] : variants) {
            EXPECT_EQ(timed, variants_of(op)) << name;
            EXPECT_EQ(chosen[name], 1) << op << " " << name;
        }
    }
}

TEST(Bench, KernelLeavesOneVariantAndRowsAndShapeNameTheProblem) {
    const std::vector<json> lines = lines_of(bench({"--rows", "8,4", "matmul", "--shape", "12,20", "--kernel",
                                                    "matmul=plain", "--precision", "fp16", "--json"}));
    ASSERT_EQ(lines.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(lines[i].at("case"), i == 0 ? "M=8 N=12 K=20" : "M=4 N=12 K=20");
        EXPECT_EQ(lines[i].at("variant"), "plain");
        EXPECT_EQ(lines[i].at("type"), "fp16");
        // 2 M N K over the same time as the bytes: what the two rates have to each other.
        const double m = i == 0 ? 8 : 4, flops = 2 * m * 12 * 20, bytes = 2 * (m * 20 + 12 * 20 + m * 12);
        EXPECT_NEAR(double(lines[i].at("gflops")) / double(lines[i].at("gigabytes_per_second")),
                    flops / bytes, 1e-6);
    }
}

TEST(Bench, TheTableMarksWhatIsChosen) {
    const ProgramResult result = bench({"layernorm", "--shape", "1,16,2,32", "--rows", "3"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("layernorm_forward fp32, 3 x 16; copies run at "));
    EXPECT_THAT(result.out, HasSubstr("\n* "));
    EXPECT_THAT(result.out, HasSubstr(device().capabilities().device_name));
}

TEST(Bench, BatchesOfSeveralLengthsTakeTurns) {
    const TemporaryFolder folder;
    const std::string two = folder.file("two", "5\n7\n"), three = folder.file("three", "9\r\n1\n2");
    for (const bool train : {false, true}) {
        std::vector<std::string> arguments{"--shape",   "1,16,2,32", "--lengths", two,
                                           "--lengths", three,       "--json"};
        if (train) arguments.push_back("--train");
        const std::vector<json> lines = lines_of(bench(arguments));
        ASSERT_EQ(lines.size(), 2u);
        for (size_t i = 0; i < 2; ++i) {
            const json& line = lines[i];
            EXPECT_EQ(line.at("sequences"), 2 + i);
            EXPECT_EQ(line.at("tokens"), 12);
            const std::vector<double> steps = line.at("steps");
            ASSERT_EQ(steps.size(), 2u);  // --repeat 2
            EXPECT_EQ(line.at("fastest_step"), std::ranges::min(steps));
            EXPECT_EQ(line.at("seconds_per_step"), std::ranges::max(steps)) << "the upper of two medians";
            EXPECT_EQ(line.at("submits"), train ? 2 : 1);
            EXPECT_EQ(line.contains("host_seconds"), train);
        }
        EXPECT_LT(lines[0].at("flops"), lines[1].at("flops")) << "25 + 49 pairs of tokens, 81 + 1 + 4";
    }
}

TEST(Bench, AShapeThatNoVariantCanDo) {
    const ProgramResult result = bench({"matmul", "--shape", "16,7", "--rows", "4"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("multiples of 4"));
}

}  // namespace
}  // namespace vkbert::test
