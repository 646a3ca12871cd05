// vkbert tune as a person or a script meets it: what it measures and keeps, and that other commands use it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "runtime/ops/matmul.hpp"
#include "tests/run_program.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Tune : public testing::Test {
  protected:
    ProgramResult run(std::vector<std::string> arguments, const std::string& cache = "") const {
        arguments.insert(arguments.end(), {"--device", device().capabilities().device_name});
        return run_vkbert(arguments, {{"XDG_CACHE_HOME", cache.empty() ? cache_.path() : cache}});
    }
    std::string path() const {
        return cache_.path() + "/vkbert/" + tuning_file_name(device().capabilities());
    }
    void write(const Tuning& tuning) const {
        cache_.file("vkbert/" + tuning_file_name(device().capabilities()),
                    tuning.text(device().capabilities()));
    }
    std::optional<Tuning> stored() const { return Tuning::parse(read_file(path()), device().capabilities()); }
    /// The matmul that a forward pass of the tiny shape uses most.
    std::string matmul_of_a_pass(const std::vector<std::string>& more = {}) const {
        std::vector<std::string> arguments{"bench",    "--shape", "tiny",     "--batch", "2",
                                           "--length", "64",      "--repeat", "1",       "--json"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const ProgramResult result = run(arguments);
        EXPECT_EQ(result.exit_code, 0) << result.err;
        return result.exit_code == 0 ? json::parse(result.out).at("variants").at("matmul") : "";
    }
    TemporaryFolder cache_;
};

/// A variant for every matmul of the tiny shape on 128 tokens that the built-in table does not choose.
Tuning another_matmul(std::string& name) {
    const Capabilities& c = device().capabilities();
    Tuning tuning;
    for (const auto& [n, k] : {std::pair(384u, 128u), {128u, 128u}, {512u, 128u}, {128u, 512u}}) {
        const ops::MatmulProblem p{.m = 128,
                                   .n = n,
                                   .k = k,
                                   .a_pitch = k,
                                   .b_pitch = k,
                                   .b_in_strips = ops::reads_strips(c, Type::fp32, n, k)};
        const Kernel& chosen = ops::choose_matmul(c, {}, p);
        for (const Kernel& kernel : ops::matmul_kernels(Type::fp32))
            if (&kernel != &chosen && satisfies(c, kernel) && ops::supports(kernel, c, p)) name = kernel.name;
        tuning.set("matmul", Type::fp32, ops::tuned_shape(p), name);
    }
    return tuning;
}

TEST_F(Tune, MeasuresTheShapesOfAModelAndKeepsWhatIsFaster) {
    const ProgramResult result = run({"tune", "--shape", "tiny", "--seconds", "60", "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    std::istringstream text(result.out);
    std::set<std::string> ops, cases;
    size_t better = 0;
    for (std::string line; std::getline(text, line);) {
        const json found = json::parse(line);
        ops.insert(found.at("op"));
        cases.insert(found.at("case"));
        for (const char* which : {"built_in", "best"}) {
            const std::string name = found.at(which);
            const auto table = ops::matmul_kernels(Type::fp32);
            const bool known = std::ranges::count(table, name, &Kernel::name) == 1;
            EXPECT_TRUE(found.at("op") != "matmul" || known) << line;
        }
        EXPECT_EQ(found.at("type"), "fp32");
        EXPECT_GT(found.at("best_milliseconds"), 0.0);
        const bool other = found.at("best") != found.at("built_in");
        better += other;
        if (other)
            EXPECT_GT(found.at("speedup"), 1.03) << line;
        else
            EXPECT_EQ(found.at("speedup"), 1.0) << line;
    }
    EXPECT_TRUE(ops.contains("matmul")) << result.out << result.err;
    EXPECT_TRUE(cases.contains("FFN2 (128 x 512), 128 tokens")) << result.out << result.err;
    ASSERT_TRUE(stored().has_value());
    EXPECT_EQ(stored()->size(), better);
    EXPECT_THAT(result.err, HasSubstr(path()));
    for (const auto& entry : std::filesystem::directory_iterator(cache_.path() + "/vkbert"))
        EXPECT_EQ(entry.path().string(), path()) << "nothing temporary stays";
}

TEST_F(Tune, OtherCommandsUseWhatWasMeasured) {
    std::string other;
    const Tuning tuning = another_matmul(other);
    const std::string built_in = matmul_of_a_pass();
    ASSERT_NE(built_in, other);
    write(tuning);
    EXPECT_EQ(matmul_of_a_pass(), other);
    EXPECT_EQ(matmul_of_a_pass({"--no-tuning"}), built_in);
    const std::string bench =
        ops::reads_strips(device().capabilities(), Type::fp32, 512, 128) ? "matmul-strips" : "matmul";
    const ProgramResult kernel =
        run({"bench", bench, "--shape", "512,128", "--rows", "128", "--repeat", "1", "--json"});
    EXPECT_THAT(kernel.out, HasSubstr("\"variant\":\"" + other + "\",\"chosen\":true")) << kernel.err;
    std::ofstream(path(), std::ios::app) << "x";
    EXPECT_THAT(run({"bench", bench, "--shape", "512,128", "--rows", "128", "--repeat", "1", "--json"}).out,
                HasSubstr("\"variant\":\"" + built_in + "\",\"chosen\":true"))
        << "a damaged file is as none";
}

TEST_F(Tune, KeepsWhatOtherRunsHaveFoundAndReplacesItsOwn) {
    Tuning before;
    before.set("matmul", Type::fp32, {"nt", 772, 384, 128}, "plain");
    before.set("matmul", Type::fp32, {"nt", 32, 16, 128}, "no_such_variant");
    write(before);
    ASSERT_EQ(run({"tune", "--shape", "1,16,2,32", "--seconds", "60"}).exit_code, 0);
    ASSERT_TRUE(stored().has_value());
    EXPECT_THAT(read_file(path()), HasSubstr("matmul fp32 nt 772 384 128 plain\n"));
    EXPECT_THAT(read_file(path()), Not(HasSubstr("no_such_variant")));
}

TEST_F(Tune, StopsInGoodOrderWhenTimeRunsOut) {
    write(Tuning());
    const ProgramResult result = run({"tune", "--shape", "large", "--train", "--seconds", "0.3"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("the others keep their choices"));
    EXPECT_TRUE(stored().has_value());
}

TEST_F(Tune, DevicesTellsWhetherThereIsATuning) {
    EXPECT_THAT(run({"devices"}).out, HasSubstr("none; `vkbert tune`"));
    std::string other;
    write(another_matmul(other));
    EXPECT_THAT(run({"devices"}).out, HasSubstr("4 measured choices in " + path()));
    size_t tuned = 0;
    const json listed = json::parse(run({"devices", "--json"}).out);
    for (const json& d : listed.at("devices"))
        tuned += d.at("tuning").is_object() && d.at("tuning").at("choices") == 4;
    EXPECT_GE(tuned, 1u);
    std::ofstream(path(), std::ios::app) << "x";
    EXPECT_THAT(run({"devices"}).out, HasSubstr("is not of this driver and build"));
}

TEST_F(Tune, WrongUsageAndPlacesThatCannotBe) {
    EXPECT_EQ(run({"tune", "--shape", "huge"}).exit_code, 2);
    EXPECT_EQ(run({"tune", "--seconds", "0"}).exit_code, 2);
    const ProgramResult forced = run({"tune", "--kernel", "matmul=plain"});
    EXPECT_EQ(forced.exit_code, 2);
    EXPECT_THAT(forced.err, HasSubstr("--kernel"));
    const std::string file = cache_.file("file", "");
    const ProgramResult blocked = run({"tune", "--shape", "1,16,2,32", "--seconds", "60"}, file);
    EXPECT_EQ(blocked.exit_code, 1) << blocked.err;
    EXPECT_THAT(blocked.err, HasSubstr(file));
    const ProgramResult homeless =
        run_vkbert({"tune", "--shape", "tiny", "--device", device().capabilities().device_name},
                   {{"XDG_CACHE_HOME", ""}, {"HOME", ""}});
    EXPECT_EQ(homeless.exit_code, 1);
    EXPECT_THAT(homeless.err, HasSubstr("XDG_CACHE_HOME"));
}

}  // namespace
}  // namespace vkbert::test
