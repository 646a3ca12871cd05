// Words into entities, by the rules of transformers' aggregation_strategy "first"
// (tests/parity/heads_parity.py compares with transformers itself).
#include "bert/entities.hpp"

#include <gtest/gtest.h>

#include "runtime/error.hpp"

namespace vkbert {
namespace {

const std::vector<std::string> labels{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"};

/// One token a word unless pieces says otherwise, five code points a word and a space between, [CLS] and
/// [SEP] around.
Encoding words(const std::vector<int>& pieces) {
    Encoding encoding;
    const auto add = [&](TextRange range, int word) {
        encoding.ids.push_back(7);
        encoding.offsets.push_back(range);
        encoding.word_ids.push_back(word);
        encoding.sequence_ids.push_back(word < 0 ? -1 : 0);
    };
    add({}, -1);
    for (uint32_t word = 0; word < pieces.size(); ++word)
        for (int piece = 0; piece < pieces[word]; ++piece) {
            const uint32_t begin = word * 6 + uint32_t(piece);
            add({begin, piece + 1 == pieces[word] ? word * 6 + 5 : begin + 1}, int(word));
        }
    add({}, -1);
    return encoding;
}

/// Probability p for the label given of each token, the rest shared among the others.
std::vector<float> probabilities(const std::vector<std::pair<size_t, float>>& tokens) {
    std::vector<float> values;
    for (const auto& [label, p] : tokens)
        for (size_t c = 0; c < labels.size(); ++c) values.push_back(c == label ? p : (1 - p) / 4);
    return values;
}

void expect_entity(const Entity& entity, const std::string& label, TextRange range, double score) {
    EXPECT_EQ(entity.label, label);
    EXPECT_EQ(entity.range, range);
    EXPECT_NEAR(entity.score, score, 1e-6);
}

TEST(Entities, InsideJoinsAndBeginSplits) {
    const auto found = find_entities(
        words({1, 1, 1, 1, 1}),
        probabilities({{1, 1}, {1, 0.9f}, {2, 0.7f}, {1, 0.5f}, {0, 0.9f}, {4, 0.6f}, {0, 1}}), labels);
    ASSERT_EQ(found.size(), 3u);
    expect_entity(found[0], "PER", {0, 11}, 0.8);
    expect_entity(found[1], "PER", {12, 17}, 0.5);
    expect_entity(found[2], "LOC", {24, 29}, 0.6);
}

TEST(Entities, AWordHasTheLabelOfItsFirstPiece) {
    const auto found = find_entities(
        words({3, 2}), probabilities({{0, 1}, {1, 0.8f}, {0, 0.9f}, {3, 0.9f}, {0, 0.7f}, {3, 0.9f}, {0, 1}}),
        labels);
    ASSERT_EQ(found.size(), 1u);
    expect_entity(found[0], "PER", {0, 5}, 0.8);
}

TEST(Entities, AnotherKindSplitsWithoutBegin) {
    const auto found =
        find_entities(words({1, 1}), probabilities({{0, 1}, {2, 0.8f}, {4, 0.6f}, {0, 1}}), labels);
    ASSERT_EQ(found.size(), 2u);
    expect_entity(found[0], "PER", {0, 5}, 0.8);
    expect_entity(found[1], "LOC", {6, 11}, 0.6);
}

TEST(Entities, NoneInNoText) {
    EXPECT_TRUE(find_entities(words({}), probabilities({{1, 1}, {1, 1}}), labels).empty());
    EXPECT_THROW(find_entities(words({1}), probabilities({{1, 1}}), labels), Error);
}

}  // namespace
}  // namespace vkbert
