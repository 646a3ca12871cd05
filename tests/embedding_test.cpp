#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/op_test.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

struct Case {
    uint32_t tokens, words, columns;
    Type type = Type::fp32;
    uint32_t capacity = 0;
    uint64_t range = 0;  // max_storage_buffer_range, when not the device's
};

void run_case(const Case& c) {
    SCOPED_TRACE(
        fmt::format("{} tokens, {} words, {} columns, {}", c.tokens, c.words, c.columns, name_of(c.type)));
    const uint32_t position_rows = 64;
    const Matrix word = random_matrix(c.words, c.columns, 1, c.type),
                 type = random_matrix(2, c.columns, 3, c.type);
    const Matrix position = random_matrix(position_rows, c.columns, 2, c.type);
    std::mt19937 random(c.tokens);
    std::vector<uint32_t> ids(c.tokens), positions(c.tokens), types(c.tokens);
    for (uint32_t t = 0; t < c.tokens; t++) {
        ids[t] = t == 0 ? 0 : t == 1 ? c.words - 1 : random() % c.words;
        positions[t] = random() % position_rows;
        types[t] = random() % 2;
    }
    const Matrix expected =
        reference::add(reference::add(reference::gather(word, ids), reference::gather(position, positions)),
                       reference::gather(type, types));
    Capabilities capabilities = device().capabilities();
    if (c.range != 0) capabilities.max_storage_buffer_range = c.range;
    for_each_variant("embedding_forward", [&](const KernelChoices& choices) {
        OpRun run(choices, capabilities);
        const Extent rows = c.capacity != 0 ? run.rows(c.capacity, c.tokens) : Extent(c.tokens);
        const Tensor sum = run.output(rows, c.columns, c.type);
        const Tensor id_column = run.input(ids, 1, {.rows = rows}),
                     position_column = run.input(positions, 1, {.rows = rows}),
                     type_column = run.input(types, 1, {.rows = rows});
        ops::embedding_forward(
            run.plan(), "test", sum, id_column, position_column, type_column,
            {run.input(word, c.type), run.input(position, c.type), run.input(type, c.type)});
        EXPECT_EQ(run.plan().dispatches().size() > 1, c.range != 0);
        run.execute();
        expect_near(run.result(sum), expected, [&](uint32_t row, uint32_t column) {
            return 4 * roundoff(Type::fp32) * 3 + roundoff(c.type) * std::fabs(expected(row, column));
        });
    });
}

}  // namespace

TEST(Embedding, Shapes) {
    for (const uint32_t columns : {4u, 16u, 128u, 260u, 312u, 768u})
        run_case({.tokens = 7, .words = 31, .columns = columns});
    run_case({.tokens = 1, .words = 5, .columns = 384});
    run_case({.tokens = 131, .words = 1000, .columns = 64});
}

TEST(Embedding, HalfPrecision) {
    run_case({.tokens = 9, .words = 31, .columns = 16, .type = Type::fp16});
    run_case({.tokens = 9, .words = 31, .columns = 384, .type = Type::fp16});
}

TEST(Embedding, RunTimeTokens) {
    run_case({.tokens = 5, .words = 31, .columns = 16, .capacity = 40});
    run_case({.tokens = 0, .words = 31, .columns = 16, .capacity = 40});
}

TEST(Embedding, WordTableThatCannotBeBoundWhole) {
    run_case({.tokens = 200, .words = 2000, .columns = 64, .range = 140000});
    run_case({.tokens = 200, .words = 2000, .columns = 64, .type = Type::fp16, .range = 70000});
    run_case({.tokens = 200, .words = 1024, .columns = 64, .capacity = 250, .range = 256 * 256});
}
