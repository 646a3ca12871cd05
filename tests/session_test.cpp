// Sessions on small random models: packing, limits, memory, determinism. Values are checked by golden_test.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "bert/session.hpp"
#include "runtime/ops/common.hpp"
#include "tests/test_device.hpp"

using namespace vkbert;
using vkbert::test::device;

namespace {

Config small() {
    Config c;
    c.hidden_size = 64, c.num_hidden_layers = 2, c.num_attention_heads = 4, c.intermediate_size = 128;
    c.vocab_size = 100, c.max_position_embeddings = 64, c.type_vocab_size = 2;
    return c;
}

Batch random_batch(const std::vector<uint32_t>& lengths, uint32_t seed) {
    std::mt19937 random(seed);
    Batch batch;
    for (const uint32_t length : lengths) {
        std::vector<uint32_t> ids(length), types(length);
        for (auto& id : ids) id = uint32_t(random() % 100);
        for (size_t i = length / 2; i < length; ++i) types[i] = 1;
        batch.add(ids, types);
    }
    return batch;
}

SessionOptions sized(uint32_t tokens, uint32_t sequences) {
    SessionOptions o;
    o.max_tokens = tokens, o.max_sequences = sequences;
    return o;
}

Matrix run(Session& session, const Batch& batch) {
    session.set_input(batch);
    session.run();
    return session.read();
}

}  // namespace

TEST(Session, PackedSequencesGiveWhatEachGivesAlone) {
    const auto model = Model::random(device(), small(), 1);
    Session session(*model, sized(200, 8));
    const std::vector<uint32_t> lengths{1, 17, 64, 2, 33};
    const Batch packed = random_batch(lengths, 7);
    const Matrix together = run(session, packed);
    ASSERT_EQ(together.rows, 117u);
    for (size_t s = 0; s < lengths.size(); ++s) {
        const uint32_t first = packed.offsets[s];
        Batch alone;
        alone.add(std::span<const uint32_t>(packed.ids).subspan(first, lengths[s]),
                  std::span<const uint32_t>(packed.types).subspan(first, lengths[s]));
        const Matrix m = run(session, alone);
        ASSERT_EQ(m.rows, lengths[s]);
        // Rounding may differ with a token's place in a tile of the attention, nothing else.
        for (size_t i = 0; i < m.values.size(); ++i)
            ASSERT_NEAR(m.values[i], together.values[size_t(first) * 64 + i], 2e-6) << "sequence " << s;
    }
}

TEST(Session, SameInputSameBits) {
    const auto model = Model::random(device(), small(), 1);
    Session session(*model, sized(128, 8)), other(*model, sized(128, 8));
    const Batch batch = random_batch({40, 5, 60}, 3);
    const Matrix a = run(session, batch);
    run(session, random_batch({64, 64}, 4));
    EXPECT_EQ(run(session, batch).values, a.values);
    EXPECT_EQ(run(other, batch).values, a.values);
}

TEST(Session, TheCapacityDoesNotChangeTheBits) {
    const auto model = Model::random(device(), small(), 1);
    Session tight(*model, sized(64, 2)), roomy(*model, sized(63 * 64, 100));
    const Batch batch = random_batch({40, 24}, 3);
    const Matrix a = run(tight, batch), b = run(roomy, batch);
    ASSERT_EQ(a.values.size(), b.values.size());
    // A roomier session may choose another matmul variant: a different order of sums.
    for (size_t i = 0; i < a.values.size(); ++i) ASSERT_NEAR(a.values[i], b.values[i], 2e-6);
}

TEST(Session, AnEmptyBatchRuns) {
    const auto model = Model::random(device(), small(), 1);
    Session session(*model, sized(64, 4));
    EXPECT_EQ(run(session, Batch{}).rows, 0u);
}

TEST(Session, SentencesOfTheLastLayerEqualPooledHiddenStates) {
    const auto model = Model::random(device(), small(), 1);
    const Batch batch = random_batch({9, 30, 1}, 5);
    Session hidden(*model, sized(64, 4));
    const Matrix rows = run(hidden, batch);
    for (const auto pooling : {ops::Pooling::mean, ops::Pooling::max, ops::Pooling::first})
        for (const bool normalize : {false, true}) {
            SessionOptions o = sized(64, 4);
            o.output = Output::sentence, o.pooling = pooling, o.normalize = normalize;
            Session session(*model, o);
            const Matrix got = run(session, batch);
            ASSERT_EQ(got.rows, 3u);
            for (uint32_t s = 0; s < 3; ++s) {
                std::vector<double> want(64, pooling == ops::Pooling::max ? -1e30 : 0);
                const uint32_t first = batch.offsets[s], end = batch.offsets[s + 1];
                for (uint32_t t = first; t < (pooling == ops::Pooling::first ? first + 1 : end); ++t)
                    for (uint32_t h = 0; h < 64; ++h) {
                        const double v = rows.values[size_t(t) * 64 + h];
                        want[h] = pooling == ops::Pooling::max ? std::max(want[h], v) : want[h] + v;
                    }
                double norm = 0;
                for (double& w : want) {
                    if (pooling == ops::Pooling::mean) w /= end - first;
                    norm += w * w;
                }
                for (uint32_t h = 0; h < 64; ++h)
                    ASSERT_NEAR(got.values[s * 64 + h], normalize ? want[h] / std::sqrt(norm) : want[h], 5e-6)
                        << int(pooling) << normalize << s;
            }
        }
}

TEST(Session, AllHiddenStatesInTheOrderAsked) {
    const auto model = Model::random(device(), small(), 1);
    SessionOptions o = sized(64, 4);
    o.layers = {-1, 0, 1};
    Session session(*model, o);
    ASSERT_EQ(session.results(), 3u);
    const Batch batch = random_batch({20}, 6);
    run(session, batch);
    Session last(*model, sized(64, 4));
    EXPECT_EQ(session.read(0).values, run(last, batch).values);
    EXPECT_NE(session.read(1).values, session.read(2).values);
    o.layers = {3};
    EXPECT_THROW(Session(*model, o), Error);
}

TEST(Session, RefusesWhatDoesNotFit) {
    const auto model = Model::random(device(), small(), 1);
    Session session(*model, sized(64, 2));
    EXPECT_THROW(session.set_input(random_batch({65}, 1)), Error);
    EXPECT_THROW(session.set_input(random_batch({1, 1, 1}, 1)), Error);
    Batch batch = random_batch({4}, 1);
    batch.ids[2] = 100;
    EXPECT_THROW(session.set_input(batch), Error);
    batch = random_batch({4}, 1);
    batch.types[1] = 2;
    EXPECT_THROW(session.set_input(batch), Error);
    batch = random_batch({4}, 1);
    batch.positions[3] = 64;
    EXPECT_THROW(session.set_input(batch), Error);
    batch = random_batch({4}, 1);
    batch.offsets = {0, 3};
    EXPECT_THROW(session.set_input(batch), Error);
    SessionOptions o;
    o.output = Output::logits;
    EXPECT_THROW(Session(*model, o), Error) << "no head was loaded";
}

TEST(Session, DeviceMemoryIsWhatWasPlanned) {
    const uint64_t before = device().allocated_bytes();
    for (const auto& [precision, for_inference] :
         {std::pair(Precision::fp32, false), {Precision::fp32, true}, {Precision::fp16, true}}) {
        ModelOptions options;
        options.precision = precision;
        options.for_inference = for_inference;
        const SessionOptions s = sized(1024, 16);
        const uint64_t planned = Model::planned_bytes(device().capabilities(), small(), options) +
                                 Session::planned_bytes(device().capabilities(), small(), options, s);
        const auto model = Model::random(device(), small(), 1, options);
        const Session session(*model, s);
        const double used = double(device().allocated_bytes() - before);
        EXPECT_NEAR(used / double(planned), 1, 0.02);
    }
    EXPECT_EQ(device().allocated_bytes(), before);
}

/// Weights in strips, where the device reads such: of QKV whose projections do not end with a strip, and of
/// as many columns as no step of the kernel.
TEST(Session, AModelForInferenceComputesTheSame) {
    Config config = small();
    config.hidden_size = 72, config.intermediate_size = 136;
    ModelOptions for_inference;
    for_inference.for_inference = true;
    const auto rows = Model::random(device(), config, 1),
               strips = Model::random(device(), config, 1, for_inference);
    const bool expected = ops::reads_strips(device().capabilities(), Type::fp32, 3 * 72, 72);
    size_t in_strips = 0;
    for (const auto& [name, weight] : strips->weights()) in_strips += weight.in_strips;
    EXPECT_EQ(in_strips, expected ? 4 * config.num_hidden_layers : 0u);
    const Batch batch = random_batch({9, 30, 1}, 3);
    for (const uint32_t tokens : {40u, 200u}) {
        Session one(*rows, sized(tokens, 4)), other(*strips, sized(tokens, 4));
        const Matrix a = run(one, batch), b = run(other, batch);
        ASSERT_EQ(a.values.size(), b.values.size());
        // Few rows are the matter of another variant, which may add up in another order.
        for (size_t i = 0; i < a.values.size(); ++i)
            ASSERT_NEAR(a.values[i], b.values[i], tokens > ops::short_batch ? 0 : 2e-6)
                << tokens << " tokens";
    }
    EXPECT_THROW(strips->place(0), Error) << "not to be written either";
}

TEST(Session, AMemoryLimitIsAnErrorAndLeavesNothingBehind) {
    const uint64_t before = device().allocated_bytes();
    device().set_memory_limit(before + (256 << 10));
    try {
        Model::random(device(), small(), 1);
        ADD_FAILURE() << "the limit was not respected";
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::out_of_memory);
    }
    device().set_memory_limit(0);
    EXPECT_EQ(device().allocated_bytes(), before);
}
