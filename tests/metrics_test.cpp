// Metrics against scikit-learn's, scipy's, seqeval's and SQuAD's official scripts' on 1,000 random
// predictions each (tests/golden/generate_metrics.py), and on what these leave out.
#include "bert/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bert/json_text.hpp"
#include "bert/squad_metrics.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using nlohmann::json;

const json& golden() {
    static const json cases = read_json_object(test::source_folder() / "tests/golden/metrics.json");
    return cases;
}

std::vector<uint32_t> classes(const json& values) {
    return values.get<std::vector<uint32_t>>();
}

void expect_scores(const MetricValues& values, const json& scores) {
    EXPECT_EQ(values.size(), scores.size());
    for (const auto& [name, value] : values) {
        ASSERT_TRUE(scores.contains(name)) << name;
        const double expected = scores[name];
        EXPECT_NEAR(value, expected, 1e-12 * std::max(1.0, std::abs(expected))) << name;
    }
}

TEST(Metrics, ClassificationEqualsScikitLearn) {
    for (const json& one : golden()["classification"]) {
        const auto predicted = classes(one["predicted"]), truth = classes(one["truth"]);
        ASSERT_EQ(truth.size(), 1000u);
        MetricValues values{{"accuracy", accuracy(predicted, truth)},
                            {"matthews", matthews_correlation(predicted, truth)}};
        if (one["scores"].contains("f1")) values.emplace_back("f1", f1(predicted, truth));
        expect_scores(values, one["scores"]);
        const uint32_t count = one["scores"].contains("f1") ? 2 : 4;
        EXPECT_EQ(confusion_matrix(predicted, truth, count), one["confusion"].get<std::vector<uint64_t>>());
    }
}

TEST(Metrics, CorrelationsEqualScipy) {
    for (const json& one : golden()["regression"]) {
        const auto predicted = one["predicted"].get<std::vector<double>>();
        const auto truth = one["truth"].get<std::vector<double>>();
        ASSERT_EQ(truth.size(), 1000u);
        expect_scores({{"pearson", pearson_correlation(predicted, truth)},
                       {"spearman", spearman_correlation(predicted, truth)}},
                      one["scores"]);
    }
}

TEST(Metrics, EntitiesEqualSeqevalInBothSchemes) {
    for (const json& one : golden()["tags"]) {
        EntityScores scores(one["labels"].get<std::vector<std::string>>());
        ASSERT_EQ(one["truth"].size(), 1000u);
        for (size_t i = 0; i < one["truth"].size(); ++i)
            scores.add(classes(one["predicted"][i]), classes(one["truth"][i]));
        expect_scores({{"precision", scores.precision()}, {"recall", scores.recall()}, {"f1", scores.f1()}},
                      one["scores"]);
    }
}

std::vector<ScoredAnswer> questions(const json& cases) {
    std::vector<ScoredAnswer> result;
    for (const json& one : cases["questions"])
        result.push_back({one["answers"], one["prediction"], one["no_answer"]});
    return result;
}

TEST(Metrics, SquadEqualsTheOfficialScripts) {
    const json &first = golden()["squad1"], &second = golden()["squad2"];
    ASSERT_EQ(first["questions"].size(), 1000u);
    ASSERT_EQ(second["questions"].size(), 1000u);
    expect_scores(squad1_metrics(questions(first)), first["scores"]);
    expect_scores(squad2_metrics(questions(second), second["threshold"]), second["scores"]);
}

TEST(Metrics, AnswersAreNormalizedAsTheOfficialScriptsDo) {
    EXPECT_EQ(normalize_answer("The  \u00c9clair, a \"la\" carte! "), "\u00e9clair la carte");
    EXPECT_EQ(normalize_answer("theory\u00a0an"), "theory");
    EXPECT_EQ(normalize_answer("a-b A.B. the"), "ab ab");
    EXPECT_EQ(normalize_answer("the, a"), "");
    EXPECT_EQ(exact_match("The U.S.", "us"), 1);
    EXPECT_EQ(token_f1("", "the", false), 0);
    EXPECT_EQ(token_f1("", "the", true), 1);
    EXPECT_DOUBLE_EQ(token_f1("big red dog", "red red dog", true), 2.0 / 3);
}

TEST(Metrics, WhereNothingIsDefinedTheScoreIsZero) {
    const std::vector<uint32_t> one{0, 0, 0}, mixed{0, 1, 1};
    EXPECT_EQ(f1(one, mixed), 0);
    EXPECT_EQ(matthews_correlation(one, mixed), 0);
    const std::vector<double> constant{1, 1, 1}, rising{1, 2, 3};
    EXPECT_EQ(pearson_correlation(constant, rising), 0);
    EXPECT_EQ(spearman_correlation(rising, constant), 0);
    EXPECT_EQ(EntityScores({"O", "B-X"}).f1(), 0);
}

TEST(Metrics, NotANumberRanksLast) {
    std::vector<double> values(100), truth(100);
    for (size_t i = 0; i < 100; ++i) {
        values[i] = i % 3 ? double(i * 37 % 100) : NAN;
        truth[i] = i % 3 ? values[i] : 1000;
    }
    const double score = spearman_correlation(values, truth);
    EXPECT_GT(score, 0.9);
    EXPECT_LT(score, 1);
}

TEST(Metrics, EntitiesEndWhereKindsAndSentencesChange) {
    EntityScores scores({"O", "B-PER", "I-PER", "S-LOC", "E-PER", "X"});
    const std::vector<uint32_t> begin_to_end{1, 2, 4, 3}, split{1, 1, 4, 3}, bare{5, 5, 0, 5};
    scores.add(split, begin_to_end);  // one of three found is right: S-LOC; two are there
    EXPECT_DOUBLE_EQ(scores.precision(), 1.0 / 3);
    EXPECT_DOUBLE_EQ(scores.recall(), 1.0 / 2);
    scores.add(bare, bare);
    EXPECT_DOUBLE_EQ(scores.precision(), 3.0 / 5);
}

TEST(Metrics, WrongCallsAreRefused) {
    const std::vector<uint32_t> two{0, 1}, three{0, 1, 2};
    const auto refused = [](const std::string& part, auto&& work) {
        test::expect_error(ErrorCode::invalid_argument, part, work);
    };
    refused("2 predictions do not fit 3 labels", [&] { accuracy(two, three); });
    refused("no predictions", [&] { f1({}, {}); });
    refused("class 2 of 2", [&] { confusion_matrix(three, three, 2); });
    refused("tag 2 of 2", [&] { EntityScores({"O", "B-X"}).add(three, three); });
    refused("2 predicted tags do not fit 3 words", [&] { EntityScores({"O"}).add(two, three); });
    refused("without an answer", [] { squad1_metrics(std::vector<ScoredAnswer>{{{}, "x"}}); });
    refused("no questions", [] { squad2_metrics({}); });
}

}  // namespace
}  // namespace vkbert
