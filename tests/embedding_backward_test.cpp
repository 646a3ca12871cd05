#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_training.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

struct Case {
    uint32_t tokens, rows, columns;
    Type type = Type::fp32;
    uint32_t capacity = 0;  // tokens are a run-time extent of this capacity
    uint64_t range = 0;     // max_storage_buffer_range, when not the device's
    uint32_t pitch = 0;     // of the table
};

std::vector<uint32_t> words_of(const std::vector<ops::EmbeddingPiece>& pieces) {
    std::vector<uint32_t> words;
    for (const ops::EmbeddingPiece& piece : pieces)
        words.insert(words.end(), {piece.first, piece.count, piece.row, piece.partial});
    return words;
}

/// A third of the tokens are of the last row, the others anywhere.
std::vector<uint32_t> some_ids(uint32_t tokens, uint32_t rows) {
    std::mt19937 random(tokens);
    std::vector<uint32_t> ids(tokens);
    for (uint32_t t = 0; t < tokens; t++) ids[t] = t % 3 == 0 ? rows - 1 : random() % rows;
    return ids;
}

void run_ids(const Case& c, const std::vector<uint32_t>& ids) {
    SCOPED_TRACE(fmt::format("{} tokens, {} rows, {} columns, {}, capacity {}", c.tokens, c.rows, c.columns,
                             name_of(c.type), c.capacity));
    const Matrix d_sum = random_matrix(c.tokens, c.columns, 1, c.type),
                 d_table = random_matrix(c.rows, c.columns, 2);
    const Matrix expected = reference::add(d_table, reference::embedding_backward(d_sum, ids, c.rows));
    const ops::EmbeddingBuckets buckets = ops::embedding_buckets(ids);
    const uint32_t capacity = std::max(c.capacity, c.tokens);
    Capabilities capabilities = device().capabilities();
    if (c.range != 0) capabilities.max_storage_buffer_range = c.range;
    for_each_variant("embedding_backward", [&](const KernelChoices& choices) {
        OpRun run(choices, capabilities);
        const Extent tokens = c.capacity != 0 ? run.rows(c.capacity, c.tokens) : Extent(c.tokens),
                     pieces = run.rows(ops::max_embedding_pieces(capacity, c.rows),
                                       uint32_t(buckets.pieces.size())),
                     sums = run.rows(ops::max_embedding_sums(capacity), uint32_t(buckets.sums.size()));
        const Tensor table = run.in_out(d_table, Type::fp32, {.pitch = c.pitch});
        ops::embedding_backward(run.plan(), "test", table, run.input(d_sum, c.type, {.rows = tokens}),
                                {run.input(buckets.order, 1, {.rows = tokens}),
                                 run.input(words_of(buckets.pieces), 4, {.rows = pieces}),
                                 run.input(words_of(buckets.sums), 4, {.rows = sums})});
        EXPECT_EQ(run.plan().dispatches().size() > 2, c.range != 0);
        run.execute();
        expect_near(run.result(table), expected, [&](uint32_t row, uint32_t) {
            const auto terms = double(std::count(ids.begin(), ids.end(), row));
            return terms == 0 ? 0 : roundoff(Type::fp32) * (4 + terms);
        });
    });
}

void run_case(const Case& c) {
    run_ids(c, some_ids(c.tokens, c.rows));
}

}  // namespace

TEST(EmbeddingBackward, ReferenceIsTheGradient) {
    const std::vector<uint32_t> ids{2, 0, 2, 3};
    const Matrix table = random_matrix(5, 3, 1), d_sum = random_matrix(4, 3, 2);
    expect_near(
        reference::embedding_backward(d_sum, ids, 5),
        reference::finite_differences(
            table,
            [&](const Matrix& m) { return reference::inner_product(d_sum, reference::gather(m, ids)); }),
        [](uint32_t, uint32_t) { return 1e-9; });
}

TEST(EmbeddingBackward, Shapes) {
    for (const uint32_t columns : {4u, 12u, 128u, 260u, 312u})
        run_case({.tokens = 7, .rows = 31, .columns = columns});
    run_case({.tokens = 1, .rows = 5, .columns = 384});
    run_case({.tokens = 131, .rows = 1000, .columns = 64, .pitch = 72});
}

TEST(EmbeddingBackward, ManyTokensOfFewRows) {
    for (const uint32_t tokens : {64u, 65u, 128u, 129u, 1009u})
        run_ids({.tokens = tokens, .rows = 2, .columns = 20}, std::vector<uint32_t>(tokens, 1));
    run_case({.tokens = 1009, .rows = 2, .columns = 20});
    run_case({.tokens = 500, .rows = 3, .columns = 68, .type = Type::fp16});
}

TEST(EmbeddingBackward, HalfPrecision) {
    run_case({.tokens = 9, .rows = 31, .columns = 16, .type = Type::fp16});
    run_case({.tokens = 97, .rows = 31, .columns = 384, .type = Type::fp16});
}

TEST(EmbeddingBackward, RunTimeTokens) {
    run_case({.tokens = 211, .rows = 31, .columns = 16, .capacity = 400});
    run_case({.tokens = 0, .rows = 31, .columns = 16, .capacity = 40});
}

TEST(EmbeddingBackward, TableThatCannotBeBoundWhole) {
    run_case({.tokens = 400, .rows = 2000, .columns = 64, .range = 140000});
    run_case({.tokens = 200, .rows = 1024, .columns = 64, .capacity = 250, .range = 256 * 256});
}

TEST(EmbeddingBackward, BucketsHoldEveryTokenOnceInOrder) {
    std::mt19937 random(1);
    for (uint32_t round = 0; round < 50; round++) {
        const uint32_t tokens = random() % 700, rows = 1 + random() % 300;
        std::vector<uint32_t> ids(tokens);
        for (uint32_t& id : ids) id = random() % 2 == 0 ? 0 : random() % rows;
        const ops::EmbeddingBuckets buckets = ops::embedding_buckets(ids);
        ASSERT_EQ(buckets.order.size(), tokens);
        ASSERT_LE(buckets.pieces.size(), ops::max_embedding_pieces(tokens, rows));
        ASSERT_LE(buckets.sums.size(), ops::max_embedding_sums(tokens));
        uint32_t next = 0;
        for (const ops::EmbeddingPiece& piece : buckets.pieces) {
            ASSERT_EQ(piece.first, next);
            ASSERT_GE(piece.count, 1u);
            next += piece.count;
            for (uint32_t i = piece.first; i < next; i++) {
                ASSERT_EQ(ids[buckets.order[i]], piece.row);
                ASSERT_TRUE(i == piece.first || buckets.order[i - 1] < buckets.order[i]);
            }
        }
        ASSERT_EQ(next, tokens);
    }
}

TEST(EmbeddingBackward, RefusesShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor d_sum = plan.persistent("d_sum", 3, 64), table = plan.persistent("table", 7, 64),
                 narrow = plan.persistent("narrow", 7, 60),
                 order = plan.persistent("order", 3, 1, Type::uint32),
                 pieces = plan.persistent("pieces", 3, 4, Type::uint32);
    EXPECT_NO_THROW(ops::embedding_backward(plan, "test", table, d_sum, {order, pieces, pieces}));
    EXPECT_THROW(ops::embedding_backward(plan, "test", narrow, d_sum, {order, pieces, pieces}), Error);
    EXPECT_THROW(ops::embedding_backward(plan, "test", table, d_sum, {pieces, pieces, pieces}), Error);
    EXPECT_THROW(ops::embedding_backward(plan, "test", table, d_sum, {order, order, pieces}), Error);
}
