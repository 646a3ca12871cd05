// Order, batches and micro-batches: every example once an epoch, the same order by seed, exact resumption.
#include "bert/batches.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/file_test.hpp"

namespace vkbert {
namespace {

/// Examples of 1 to 13 tokens in `choices` sequences each.
std::vector<Example> examples(uint32_t count, uint32_t choices = 1) {
    std::vector<Example> result(count);
    for (uint32_t i = 0; i < count; ++i) {
        for (uint32_t c = 0; c < choices; ++c) {
            const size_t tokens = 1 + (i * 7 + c * 5) % 13;
            result[i].sequences.push_back(
                {std::vector<uint32_t>(tokens, i), std::vector<uint32_t>(tokens, c)});
        }
        result[i].label = ClassLabel{i % 3};
        result[i].record = i;
    }
    return result;
}

std::vector<uint32_t> flat(const ExampleBatch& batch) {
    std::vector<uint32_t> result;
    for (const auto& one : batch.micro_batches) result.insert(result.end(), one.begin(), one.end());
    return result;
}

TEST(Batches, EveryExampleExactlyOnceAnEpoch) {
    const auto data = examples(101);
    BatchStream stream(data, {.batch_size = 8, .token_budget = 40, .seed = 3});
    EXPECT_EQ(stream.batches_per_epoch(), 13u);
    std::vector<std::vector<uint32_t>> epochs(3);
    for (auto& epoch : epochs) {
        for (uint64_t b = 0; b < stream.batches_per_epoch(); ++b) {
            const ExampleBatch batch = stream.next();
            EXPECT_EQ(batch.position.epoch, uint64_t(&epoch - epochs.data()));
            EXPECT_EQ(batch.examples(), b == 12 ? 5u : 8u);
            for (const uint32_t index : flat(batch)) epoch.push_back(index);
        }
        auto sorted = epoch;
        std::ranges::sort(sorted);
        for (uint32_t i = 0; i < 101; ++i) ASSERT_EQ(sorted.at(i), i);
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
}

TEST(Batches, TheOrderDependsOnSeedAndEpochAlone) {
    EXPECT_EQ(shuffled_order(1000, 7, 2), shuffled_order(1000, 7, 2));
    EXPECT_NE(shuffled_order(1000, 7, 2), shuffled_order(1000, 8, 2));
    EXPECT_NE(shuffled_order(1000, 7, 2), shuffled_order(1000, 7, 3));
    // Written down so that a change of the order, which would break resuming old runs, is noticed.
    EXPECT_THAT(shuffled_order(8, 0, 0), testing::ElementsAre(6, 4, 0, 2, 5, 7, 1, 3));
}

TEST(Batches, AllPlacesAreEquallyLikely) {
    constexpr uint32_t count = 5, rounds = 20000;
    std::vector<uint32_t> at(count * count);
    for (uint32_t epoch = 0; epoch < rounds; ++epoch) {
        const auto order = shuffled_order(count, 1, epoch);
        for (uint32_t i = 0; i < count; ++i) ++at[order[i] * count + i];
    }
    for (const uint32_t n : at) EXPECT_NEAR(n, rounds / count, 5 * std::sqrt(rounds * 0.2 * 0.8));
}

TEST(Batches, ResumedAnywhereTheRestIsTheSame) {
    const auto data = examples(37);
    const BatchOptions options{.batch_size = 4, .token_budget = 20, .seed = 11};
    BatchStream whole(data, options);
    std::vector<DataPosition> positions;
    std::vector<ExampleBatch> batches;
    for (int i = 0; i < 45; ++i) {
        positions.push_back(whole.position());
        batches.push_back(whole.next());
    }
    for (const size_t start : {0u, 1u, 9u, 10u, 23u, 44u}) {
        BatchStream resumed(data, options);
        resumed.seek(positions[start]);
        EXPECT_EQ(resumed.position(), positions[start]);
        for (size_t i = start; i < batches.size(); ++i) {
            const ExampleBatch batch = resumed.next();
            ASSERT_EQ(batch.micro_batches, batches[i].micro_batches);
            ASSERT_EQ(batch.position, batches[i].position);
        }
        EXPECT_EQ(resumed.position(), whole.position());
    }
}

TEST(Batches, MicroBatchesKeepToTheirLimitsAndToTheOrder) {
    const auto data = examples(60, 4);
    BatchStream limited(data, {.batch_size = 16, .token_budget = 70, .sequence_limit = 10, .seed = 5});
    BatchStream unlimited(data, {.batch_size = 16, .seed = 5});
    for (int i = 0; i < 8; ++i) {
        const ExampleBatch batch = limited.next(), one = unlimited.next();
        ASSERT_EQ(one.micro_batches.size(), 1u);
        EXPECT_EQ(flat(batch), flat(one));
        EXPECT_GT(batch.micro_batches.size(), 1u);
        for (const auto& micro : batch.micro_batches) {
            uint32_t tokens = 0;
            for (const uint32_t index : micro) tokens += data[index].tokens();
            EXPECT_LE(tokens, 70u);
            EXPECT_LE(micro.size() * 4, 10u);
            EXPECT_FALSE(micro.empty());
        }
    }
}

TEST(Batches, EvaluationKeepsTheOrderOfTheFile) {
    const auto data = examples(10);
    BatchStream stream(data, {.batch_size = 6, .shuffle = false});
    EXPECT_EQ(flat(stream.next()), (std::vector<uint32_t>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(flat(stream.next()), (std::vector<uint32_t>{6, 7, 8, 9}));
    EXPECT_EQ(flat(stream.next()), (std::vector<uint32_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Batches, PackedExamplesHoldSequencesAndLabelsWithoutPadding) {
    const auto data = examples(3, 2);
    PackedExamples packed;
    for (const uint32_t i : {2u, 0u}) packed.add(data[i], i);
    EXPECT_EQ(packed.batch.sequences(), 4u);
    EXPECT_EQ(packed.batch.tokens(), data[2].tokens() + data[0].tokens());
    EXPECT_EQ(packed.sequence_offsets, (std::vector<uint32_t>{0, 2, 4}));
    EXPECT_EQ(packed.classes, (std::vector<uint32_t>{2, 0}));
    EXPECT_EQ(packed.examples, (std::vector<uint32_t>{2, 0}));

    packed.clear();
    Example tagged{{{{101, 7, 8, 102}, {0, 0, 0, 0}}}, TokenLabels{{ignored_label, 3, 1, ignored_label}}};
    packed.add(tagged, 0);
    packed.add(tagged, 0);
    EXPECT_THAT(packed.token_labels,
                testing::ElementsAre(ignored_label, 3, 1, ignored_label, ignored_label, 3, 1, ignored_label));
    EXPECT_TRUE(packed.classes.empty());

    packed.clear();
    const Example masked{{{{101, 103, 8, 103, 102}, {0, 0, 0, 0, 0}}}, MaskedLabels{{1, 3}, {7, 9}}};
    packed.add(masked, 0);
    packed.add(masked, 1);
    EXPECT_EQ(packed.batch.rows, (std::vector<uint32_t>{1, 3, 6, 8}));
    EXPECT_EQ(packed.masked_words, (std::vector<uint32_t>{7, 9, 7, 9}));

    packed.clear();
    packed.add({{{{101, 102}, {0, 0}}}, SpanLabel{1, 1}}, 4);
    EXPECT_EQ(packed.span_starts, packed.span_ends);
    packed.clear();
    packed.add({{{{101, 102}, {0, 0}}}, ValueLabel{2.5f}}, 4);
    EXPECT_EQ(packed.values, std::vector<float>{2.5f});
}

TEST(Batches, WrongCallsAreRefused) {
    const auto data = examples(5, 2);
    using test::expect_error;
    expect_error(ErrorCode::invalid_argument, "no examples", [] { BatchStream({}, {}); });
    expect_error(ErrorCode::invalid_argument, "batch size of 0",
                 [&] { BatchStream(data, {.batch_size = 0}); });
    expect_error(ErrorCode::invalid_argument, "has 7 tokens in 2 sequences; a micro-batch holds 6 tokens",
                 [&] { BatchStream(data, {.token_budget = 6}); });
    expect_error(ErrorCode::invalid_argument, "in 1 at most",
                 [&] { BatchStream(data, {.sequence_limit = 1}); });
    expect_error(ErrorCode::invalid_input, "position 5 lies outside the 5 examples", [&] {
        BatchStream(data, {}).seek({0, 5});
    });
}

}  // namespace
}  // namespace vkbert
