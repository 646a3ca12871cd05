// Spans over windows and the null answer, on logits whose best answer is plain to see
// (tests/parity/heads_parity.py compares with transformers' rules on real texts).
#include "bert/answers.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "runtime/error.hpp"

namespace vkbert {
namespace {

/// [CLS] question [SEP] four context tokens [SEP]: context token i of window w is code points [10 (w + i), 10
/// (w + i) + 5).
Encoding window(uint32_t w) {
    Encoding encoding;
    encoding.ids.resize(8);
    encoding.sequence_ids = {-1, 0, -1, 1, 1, 1, 1, -1};
    encoding.offsets.resize(8);
    for (uint32_t i = 0; i < 4; ++i) encoding.offsets[3 + i] = {10 * (w + i), 10 * (w + i) + 5};
    return encoding;
}

const Encoding first = window(0), second = window(4);
const std::vector<float> low(8, -20.0f);

std::vector<float> with(std::vector<std::pair<size_t, float>> values) {
    std::vector<float> logits = low;
    for (const auto& [index, value] : values) logits[index] = value;
    return logits;
}

TEST(Answers, BestSpanOverAllWindows) {
    const auto start0 = with({{3, 2}}), end0 = with({{4, 1}}), start1 = with({{4, 3}}), end1 = with({{6, 2}});
    const AnswerWindow windows[] = {{&first, start0, end0}, {&second, start1, end1}};
    const Answer answer = find_answer(windows);
    EXPECT_TRUE(answer.answered);
    EXPECT_EQ(answer.range, (TextRange{50, 75}));
    EXPECT_NEAR(answer.score, 1 / (1 + std::exp(3.0 - 5.0)), 1e-6);
}

TEST(Answers, QuestionAndSpecialTokensAndBackwardSpansAreNotAnswers) {
    const auto start = with({{0, 9}, {1, 9}, {5, 4}, {3, 1}}), end = with({{7, 9}, {1, 9}, {4, 4}});
    const AnswerWindow windows[] = {{&first, start, end}};
    EXPECT_EQ(find_answer(windows).range, (TextRange{0, 15}));
}

TEST(Answers, LongerThanAllowedIsNotAnAnswer) {
    const auto start = with({{3, 5}, {5, 1}}), end = with({{6, 5}});
    const AnswerWindow windows[] = {{&first, start, end}};
    AnswerOptions options;
    EXPECT_EQ(find_answer(windows, options).range, (TextRange{0, 35}));
    options.longest_answer = 3;
    EXPECT_EQ(find_answer(windows, options).range, (TextRange{20, 35}));
}

TEST(Answers, NullAnswerIsTheLowestOfAllWindowsAgainstTheThreshold) {
    const auto start0 = with({{0, 4}, {3, 2}}), end0 = with({{0, 4}, {3, 1}});
    const auto start1 = with({{0, 2.5f}, {3, -5}}), end1 = with({{0, 2}, {3, -5}});
    const AnswerWindow windows[] = {{&first, start0, end0},
                                    {&second, start1, end1}};  // null 4.5, best span 3
    AnswerOptions options;
    options.null_threshold = 1.4;
    const Answer none = find_answer(windows, options);
    EXPECT_FALSE(none.answered);
    EXPECT_EQ(none.range, (TextRange{0, 0}));
    EXPECT_NEAR(none.score, 1 / (1 + std::exp(-1.5)), 1e-4);
    options.null_threshold = 1.6;
    const Answer span = find_answer(windows, options);
    EXPECT_TRUE(span.answered);
    EXPECT_EQ(span.range, (TextRange{0, 5}));
    EXPECT_NEAR(span.score, 1 / (1 + std::exp(1.5)), 1e-4);
    options.null_threshold.reset();
    EXPECT_GT(find_answer(windows, options).score, 0.99);
}

TEST(Answers, NothingToChooseFrom) {
    EXPECT_FALSE(find_answer({}).answered);
    const AnswerWindow wrong[] = {{&first, std::span(low).first(3), low}};
    EXPECT_THROW(find_answer(wrong), Error);
}

}  // namespace
}  // namespace vkbert
