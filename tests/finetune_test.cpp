// vkbert finetune and evaluate as a person or a script meets them, on a tiny model and a made-up task.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/ops/tables.hpp"
#include "runtime/tuning.hpp"
#include "tests/run_program.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::string tiny_model() {
    const char* source = std::getenv("VKBERT_SOURCE_DIR");
    return std::string(source ? source : ".") + "/tests/golden/encoder";
}

/// "text<TAB>label" lines whose label is the one word that tells.
std::string examples(size_t count, size_t first) {
    const char* fillers[] = {"the movie", "a day in london", "this river", "what he ran for",
                             "the second king"};
    std::string text = "text\tlabel\n";
    for (size_t i = first; i < first + count; ++i) {
        const bool good = i * 7 % 3 == 0;
        text += std::string(fillers[i % 5]) + (good ? " was great " : " was terrible ") + fillers[i / 5 % 5] +
                "\t" + (good ? "good" : "bad") + "\n";
    }
    return text;
}

class Finetune : public testing::Test {
  protected:
    std::vector<std::string> arguments(const std::string& output, std::vector<std::string> more = {}) const {
        std::vector<std::string> all{"finetune",
                                     "--model",
                                     tiny_model(),
                                     "--task",
                                     "classification",
                                     "--train",
                                     train_,
                                     "--eval",
                                     eval_,
                                     "--output",
                                     folder_.path() + "/" + output,
                                     "--learning-rate",
                                     "3e-3",
                                     "--batch-size",
                                     "8",
                                     "--max-length",
                                     "24",
                                     "--schedule",
                                     "constant",
                                     "--warmup",
                                     "0",

                                     "--device",
                                     device().capabilities().device_name};
        for (size_t i = 0; i < more.size(); ++i) {  // an option given again takes the place of the first
            const auto known = std::find(all.begin(), all.end(), more[i]);
            const bool has_value = i + 1 < more.size() && !more[i + 1].starts_with("--");
            if (known != all.end() && has_value)
                known[1] = more[++i];
            else
                all.push_back(more[i]);
        }
        return all;
    }
    ProgramResult run(const std::string& output, std::vector<std::string> more = {}) const {
        return run_vkbert(arguments(output, std::move(more)));
    }
    std::vector<json> metrics(const std::string& output) const {
        std::istringstream text(read_file(folder_.path() + "/" + output + "/metrics.jsonl"));
        std::vector<json> lines;
        for (std::string line; std::getline(text, line);) {
            lines.push_back(json::parse(line));
            lines.back().erase("tokens_per_second");  // what differs from run to run
        }
        return lines;
    }
    std::string weights(const std::string& output, const std::string& file = "model.safetensors") const {
        return read_file(folder_.path() + "/" + output + "/" + file);
    }

    TemporaryFolder folder_;
    std::string train_ = folder_.file("train.tsv", examples(64, 0)),
                eval_ = folder_.file("eval.tsv", examples(30, 64));
};

TEST_F(Finetune, LearnsAndLeavesAModelThatTheOtherCommandsOpen) {
    const std::string page = folder_.path() + "/report.html";
    const ProgramResult result =
        run("a", {"--epochs", "12", "--learning-rate", "5e-3", "--schedule", "linear", "--report", page});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const std::vector<json> lines = metrics("a");
    ASSERT_EQ(lines.size(), 12 * 8 + 12u);
    EXPECT_EQ(lines[0].at("step"), 1);
    for (const char* field : {"loss", "learning_rate", "grad_norm"})
        EXPECT_TRUE(lines[0].contains(field)) << field;
    EXPECT_GE(lines.back().at("eval").at("accuracy").get<double>(), 0.9);

    const std::string output = folder_.path() + "/a";
    const ProgramResult scores =
        run_vkbert({"evaluate", "--model", output, "--task", "classification", "--data", eval_,
                    "--max-length", "24", "--predictions", folder_.path() + "/predictions"});
    ASSERT_EQ(scores.exit_code, 0) << scores.err;
    EXPECT_GE(json::parse(scores.out).at("accuracy").get<double>(), 0.9);
    EXPECT_THAT(read_file(folder_.path() + "/predictions"), HasSubstr("\"prediction\":\"good\""));
    const ProgramResult classes = run_vkbert({"classify", "--model", output, "this river was great"});
    EXPECT_EQ(json::parse(classes.out).at("label"), "good") << classes.err;
    EXPECT_THAT(read_file(page), HasSubstr("\"title\":\"loss\""));
    EXPECT_THAT(read_file(page), HasSubstr("<h2>Confusion</h2>"));
    EXPECT_THAT(read_file(page), HasSubstr("</td><td>matmul "));
    EXPECT_THAT(read_file(page), Not(HasSubstr("{{")));
}

TEST_F(Finetune, GivesTheSameBitsForTheSameSeed) {
    ASSERT_EQ(run("a", {"--epochs", "1", "--seed", "3"}).exit_code, 0);
    ASSERT_EQ(run("b", {"--epochs", "1", "--seed", "3"}).exit_code, 0);
    ASSERT_EQ(run("c", {"--epochs", "1", "--seed", "4"}).exit_code, 0);
    EXPECT_TRUE(weights("a") == weights("b"));
    EXPECT_EQ(metrics("a"), metrics("b"));
    EXPECT_FALSE(weights("a") == weights("c"));
}

TEST_F(Finetune, MicroBatchesAndRecomputationLeaveTheLossWhereItWas) {
    const std::vector<std::string> common{"--epochs", "1", "--dropout", "0"};
    auto with = [&](const std::string& output, std::vector<std::string> more) {
        more.insert(more.end(), common.begin(), common.end());
        const ProgramResult result = run(output, more);
        EXPECT_EQ(result.exit_code, 0) << result.err;
        return metrics(output);
    };
    const auto whole = with("a", {}), split = with("b", {"--accumulate", "4"}),
               again = with("c", {"--recompute"});
    EXPECT_EQ(whole, again);
    ASSERT_EQ(whole.size(), split.size());
    for (size_t i = 0; i + 1 < whole.size(); ++i)
        EXPECT_NEAR(whole[i].at("loss").get<double>(), split[i].at("loss").get<double>(), 1e-4) << i;
}

TEST_F(Finetune, ResumesWithTheBitsOfARunThatWasNotInterrupted) {
    ASSERT_EQ(run("a", {"--max-steps", "12", "--save-every", "5"}).exit_code, 0);
    ASSERT_EQ(run("b", {"--max-steps", "7", "--save-every", "5"}).exit_code, 0);
    EXPECT_EQ(run("b", {"--max-steps", "12", "--save-every", "5"}).exit_code, 2) << "without --resume";
    // As a run leaves it that was killed after step 7: the newest checkpoint is half written, metrics go on
    // beyond the last.
    const std::string b = folder_.path() + "/b";
    std::filesystem::create_directory(b + "/checkpoint-8.part");
    const ProgramResult other = run("b", {"--max-steps", "12", "--resume", "--seed", "9"});
    EXPECT_EQ(other.exit_code, 2);
    EXPECT_THAT(other.err, HasSubstr("seed"));
    const ProgramResult resumed = run("b", {"--max-steps", "12", "--save-every", "5", "--resume"});
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    for (const char* file : {"checkpoint-12/model.safetensors", "checkpoint-12/optimizer.safetensors"})
        EXPECT_TRUE(weights("a", file) == weights("b", file)) << file;
    EXPECT_FALSE(std::filesystem::exists(b + "/checkpoint-8.part"));
    EXPECT_TRUE(std::filesystem::exists(b + "/checkpoint-12/optimizer.safetensors"));
    EXPECT_FALSE(std::filesystem::exists(b + "/checkpoint-7"));
}

/// For every matmul of the tiny model, the last variant of the table that this device can run: seldom the
/// built-in choice.
std::string tuning_of_the_tiny_model() {
    const Capabilities& c = device().capabilities();
    const std::span<const Kernel> table = ops::matmul_kernels(Type::fp32);
    const auto last =
        std::find_if(table.rbegin(), table.rend(), [&](const Kernel& k) { return satisfies(c, k); });
    Tuning tuning;
    for (const char* form : {"nt", "nn", "tn"})
        for (const uint32_t n : {48u, 96u, 144u})
            for (const uint32_t k : {48u, 96u, 144u})
                for (const uint32_t rows : {16u, 64u, 256u})
                    tuning.set("matmul", Type::fp32, {form, n, k, rows}, last->name);
    return tuning.text(c);
}

TEST_F(Finetune, ResumesWithTheTuningThatItBeganWith) {
    const TemporaryFolder cache;
    const std::string file = cache.file("vkbert/" + tuning_file_name(device().capabilities()), "");
    const auto run_with = [&](const std::string& tuning, const char* output, std::vector<std::string> more) {
        std::ofstream(file) << tuning;
        more.insert(more.end(), {"--save-every", "2"});
        const ProgramResult result = run_vkbert(arguments(output, more), {{"XDG_CACHE_HOME", cache.path()}});
        EXPECT_EQ(result.exit_code, 0) << result.err;
    };
    const auto trained = [&](const char* output) {
        return weights(output, "checkpoint-4/model.safetensors");
    };
    const std::string tuned = tuning_of_the_tiny_model();
    run_with(tuned, "tuned", {"--max-steps", "4"});
    run_with("", "plain", {"--max-steps", "4"});
    EXPECT_FALSE(trained("tuned") == trained("plain")) << "else this test shows nothing";
    run_with(tuned, "tuned, then not", {"--max-steps", "2"});
    run_with("", "tuned, then not", {"--max-steps", "4", "--resume"});
    EXPECT_TRUE(trained("tuned, then not") == trained("tuned"));
    run_with("", "plain, then tuned", {"--max-steps", "2"});
    run_with(tuned, "plain, then tuned", {"--max-steps", "4", "--resume"});
    EXPECT_TRUE(trained("plain, then tuned") == trained("plain"));
}

TEST_F(Finetune, KeepsToAMemoryLimitWithTheSameLosses) {
    const auto bytes_after = [](const std::string& text, const std::string& before) {
        return std::stoull(text.substr(text.find(before) + before.size()));
    };
    const std::vector<std::string> common{"--max-steps", "3", "--dropout", "0", "--verbose"};
    ASSERT_EQ(run("a", common).exit_code, 0);
    auto limited = common;
    limited.insert(limited.end(), {"--memory-limit", "4000000"});
    const ProgramResult result = run("b", limited);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const double predicted = double(bytes_after(run("c", common).err, "device memory: "));
    const ProgramResult again = run("d", limited);
    const double used =
        double(bytes_after(again.err.substr(again.err.rfind("device memory: ")), "device memory: "));
    EXPECT_LE(used, 4000000);
    EXPECT_GT(predicted, 4000000) << "the limit means nothing here";
    EXPECT_NEAR(used, double(bytes_after(again.err, "device memory: ")), 0.02 * used);
    const auto whole = metrics("a"), small = metrics("b");
    for (size_t i = 0; i < 3; ++i)
        EXPECT_NEAR(whole[i].at("loss").get<double>(), small[i].at("loss").get<double>(), 1e-4) << i;
    EXPECT_EQ(run("e", {"--memory-limit", "100000"}).exit_code, 4);
}

TEST_F(Finetune, BadDataIsNamedWithFileAndLine) {
    const auto expect_error = [&](const char* option, const std::string& text, const std::string& what) {
        const ProgramResult result = run("x", {option, folder_.file("bad.tsv", text)});
        EXPECT_EQ(result.exit_code, 2) << result.err;
        EXPECT_THAT(result.err, HasSubstr(what));
        EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/x"));
    };
    expect_error("--eval", "text\tlabel\na\tgood\nb\tugly\n", "bad.tsv:3: the label is 'ugly'");
    for (const char* option : {"--train", "--eval"}) {
        expect_error(option, "text\tlabel\na\tgood\nb\n", "bad.tsv:3: 1 columns");
        expect_error(option, "text\tlabel\n", "bad.tsv: holds no examples");
    }
    std::string swapped = "text\tlabel\n";
    for (int i = 0; i < 40; ++i) swapped += fmt::format("good\tthe movie {}\n", i);
    expect_error("--train", swapped, "is it the right column");
}

TEST_F(Finetune, NumbersThatAreNotFiniteEndTheRunAndLeaveWhatWasWritten) {
    // The rate grows over some steps: the checkpoint of the first stays.
    const ProgramResult result =
        run("a", {"--learning-rate", "1e6", "--warmup", "6", "--save-every", "1", "--epochs", "3"});
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_THAT(result.err, testing::ContainsRegex("step [0-9]+: the (loss|gradient) is not finite"));
    EXPECT_TRUE(std::filesystem::exists(folder_.path() + "/a/checkpoint-2/model.safetensors"));
    EXPECT_FALSE(metrics("a").empty());

    const std::filesystem::path broken = folder_.path() + "/broken";
    std::filesystem::copy(tiny_model(), broken);
    std::string shard = read_file((broken / "model-00001-of-00003.safetensors").string());
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(shard.data() + shard.size() - 4, &nan, 4);
    std::ofstream(broken / "model-00001-of-00003.safetensors", std::ios::binary) << shard;
    const ProgramResult refused = run("b", {"--model", broken.string()});
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, testing::ContainsRegex(
                                 "model-00001-of-00003.safetensors: tensor '.*' has values that are not"));
}

TEST_F(Finetune, SaysWhatIsWrong) {
    const auto expect_error = [&](std::vector<std::string> more, const std::string& text) {
        const ProgramResult result = run("x", std::move(more));
        EXPECT_EQ(result.exit_code, 2) << result.err;
        EXPECT_THAT(result.err, HasSubstr(text));
    };
    expect_error({"--max-length", "4096"}, "positions");
    expect_error({"--task", "nonsense"}, "--task");
    expect_error({"--columns", "text=nowhere,label=label"}, "nowhere");
    expect_error({"--train", folder_.path() + "/absent.tsv"}, "absent.tsv");
    EXPECT_EQ(run_vkbert({"finetune", "--model", tiny_model()}).exit_code, 2);
}

}  // namespace
}  // namespace vkbert::test
