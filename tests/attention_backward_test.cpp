#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runtime/ops/attention.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "tests/attention_lists.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_backward.hpp"
#include "tools/selftest/reference_random.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

struct Case {
    std::vector<uint32_t> lengths;
    uint32_t heads, head_size;
    Type type = Type::fp32;
    bool causal = false;
    float dropout = 0;
    uint32_t spare_rows =
        0;                 // capacity beyond the rows of this run; rows and tiles are run-time extents then
    double magnitude = 1;  // of queries, keys and values
    uint32_t shared_memory = 0;  // what the plan believes the device has, for the variant that uses it
};

/// Whether the forced variant is one for these heads and this type.
bool concerns(const KernelChoices& choices, const Case& c) {
    const auto table = ops::attention_backward_kernels(c.type);
    const auto kernel = std::ranges::find(table, choices.at("attention_backward"), &Kernel::name);
    return kernel != table.end() && ops::supports_attention(*kernel, c.head_size);
}

void run_case(const Case& c) {
    const std::vector<uint32_t> offsets = offsets_of(c.lengths);
    const uint32_t tokens = offsets.back(), hidden = c.heads * c.head_size;
    SCOPED_TRACE(fmt::format("{} tokens in {} sequences, {} heads of {}, {}{}, dropout {}", tokens,
                             c.lengths.size(), c.heads, c.head_size, name_of(c.type),
                             c.causal ? ", causal" : "", c.dropout));
    const std::vector<uint32_t> state{17, 18, 19, 0};
    const reference::DropoutMask mask{c.dropout, 5, {17, 18, 19, 0}};
    const Matrix qkv = random_matrix(tokens, 3 * hidden, c.head_size + tokens, c.type, c.magnitude);
    const Matrix d_output = random_matrix(tokens, hidden, c.head_size, c.type);
    const reference::Attention forward = reference::attention(qkv, offsets, c.heads, c.causal, &mask);
    const Matrix output = rounded(forward.output, c.type);
    const reference::AttentionGradient expected =
        reference::attention_backward(d_output, qkv, output, offsets, c.heads, c.causal, &mask);
    const std::vector<ops::AttentionTile> tiles = ops::attention_tiles(offsets);
    Capabilities capabilities = device().capabilities();
    if (c.shared_memory != 0) capabilities.max_shared_memory = c.shared_memory;
    for_each_variant("attention_backward", [&](const KernelChoices& choices) {
        if (c.shared_memory != 0 && choices.at("attention_backward") != "tiled") return;
        if (!concerns(choices, c)) return;
        OpRun run(choices, capabilities);
        Extent rows = tokens, tile_rows = uint32_t(tiles.size());
        if (c.spare_rows != 0) {
            rows = run.rows(tokens + c.spare_rows, tokens);
            tile_rows = run.rows(uint32_t(tiles.size()) + c.spare_rows, uint32_t(tiles.size()));
        }
        const ops::Dropout dropout{c.dropout, 5, run.input(state, 4)};
        ops::AttentionOptions options{.heads = c.heads, .causal = c.causal};
        if (c.dropout > 0) options.dropout = &dropout;
        const Tensor d_qkv = run.output(rows, 3 * hidden, c.type);
        ops::attention_backward(run.plan(), "test", d_qkv, run.input(d_output, c.type, {.rows = rows}),
                                run.input(qkv, c.type, {.rows = rows}),
                                run.input(output, c.type, {.rows = rows}),
                                run.input(forward.logsumexp, Type::fp32, {.rows = rows}),
                                run.input(words_of(tiles), 4, {.rows = tile_rows}), options);
        for (const Dispatch& dispatch : run.plan().dispatches())
            EXPECT_EQ(dispatch.kernel->name, choices.at("attention_backward"));
        run.execute();
        // On matrix cores the weights, and the gradients of scores, are rounded to fp16.
        const bool matrices = run.plan().dispatches().front().kernel->requirements.matrix.m != 0;
        const double term = matrices ? roundoff(Type::fp16) : 0;
        // Every term has a weight, which errs by what its score (a sum of head_size products) and the
        // logsumexp err, and a second sum of head_size products.
        const double score = c.magnitude * c.magnitude * std::sqrt(double(c.head_size)) + 8;
        expect_near(run.result(d_qkv), expected.d_qkv, [&](uint32_t row, uint32_t column) {
            return (term + 2 * score * roundoff(Type::fp32)) * expected.magnitude(row, column) +
                   roundoff(c.type) * std::fabs(expected.d_qkv(row, column)) +
                   (c.type == Type::fp16 ? 0x1p-25 : 0);
        });
    });
}

}  // namespace

TEST(AttentionBackward, ReferenceEqualsFiniteDifferences) {
    const std::vector<uint32_t> offsets{0, 5, 6, 25};
    const uint32_t heads = 2, hidden = 6;
    const Matrix d_output = random_matrix(25, hidden, 2);
    for (const bool causal : {false, true})
        for (const float probability : {0.0f, 0.3f}) {
            const reference::DropoutMask mask{probability, 1, {2, 3, 4, 0}};
            Matrix qkv = random_matrix(25, 3 * hidden, 1);
            const auto loss = [&] {
                const Matrix output = reference::attention(qkv, offsets, heads, causal, &mask).output;
                double sum = 0;
                for (size_t i = 0; i < output.values.size(); i++)
                    sum += output.values[i] * d_output.values[i];
                return sum;
            };
            const Matrix output = reference::attention(qkv, offsets, heads, causal, &mask).output;
            const Matrix d_qkv =
                reference::attention_backward(d_output, qkv, output, offsets, heads, causal, &mask).d_qkv;
            for (size_t i = 0; i < qkv.values.size(); i++) {
                const double value = qkv.values[i], step = 1e-5;
                qkv.values[i] = value + step;
                const double above = loss();
                qkv.values[i] = value - step;
                const double below = loss();
                qkv.values[i] = value;
                ASSERT_NEAR((above - below) / (2 * step), d_qkv.values[i], 1e-8) << "element " << i;
            }
        }
}

TEST(AttentionBackward, SequencesOfAllLengthsAboutATile) {
    run_case({.lengths = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 23, 24, 25, 31, 32, 33, 34},
              .heads = 2,
              .head_size = 32});
}

TEST(AttentionBackward, HeadSizes) {
    for (const uint32_t head_size : {1u, 4u, 26u, 40u, 64u})
        run_case({.lengths = {41, 1, 17}, .heads = 4, .head_size = head_size});
    run_case({.lengths = {19, 1}, .heads = 1, .head_size = 256});
}

TEST(AttentionBackward, HalfPrecision) {
    for (const uint32_t head_size : {26u, 32u, 64u})
        run_case({.lengths = {37, 5, 16}, .heads = 2, .head_size = head_size, .type = Type::fp16});
}

TEST(AttentionBackward, HalfPrecisionOverManyBlocks) {
    const std::vector<uint32_t> lengths{1, 31, 32, 33, 64, 65, 130};
    run_case({.lengths = lengths, .heads = 2, .head_size = 32, .type = Type::fp16});
    run_case({.lengths = lengths,
              .heads = 2,
              .head_size = 64,
              .type = Type::fp16,
              .causal = true,
              .dropout = 0.1f,
              .spare_rows = 40});
}

TEST(AttentionBackward, FitsTheSharedMemoryOfEveryGpu) {
    for (const Type type : {Type::fp32, Type::fp16})
        for (const Kernel& kernel : ops::attention_backward_kernels(type)) {
            EXPECT_LE(kernel.requirements.shared_memory, 32768u) << kernel.name;
        }
}

TEST(AttentionBackward, Causal) {
    run_case({.lengths = {1, 16, 33, 70}, .heads = 2, .head_size = 32, .causal = true});
}

TEST(AttentionBackward, Dropout) {
    run_case({.lengths = {1, 9, 65, 16}, .heads = 3, .head_size = 64, .dropout = 0.1f});
    run_case({.lengths = {41, 70}, .heads = 2, .head_size = 128, .dropout = 0.4f});
    run_case(
        {.lengths = {50}, .heads = 2, .head_size = 32, .type = Type::fp16, .causal = true, .dropout = 0.1f});
}

TEST(AttentionBackward, LongSequenceAndLargeScores) {
    run_case({.lengths = {260}, .heads = 1, .head_size = 64});
    run_case({.lengths = {130}, .heads = 1, .head_size = 64, .magnitude = 3});
}

TEST(AttentionBackward, RunTimeExtentsBelowCapacity) {
    run_case({.lengths = {19, 3}, .heads = 2, .head_size = 16, .dropout = 0.2f, .spare_rows = 40});
    run_case({.lengths = {}, .heads = 2, .head_size = 16, .spare_rows = 40});
}

TEST(AttentionBackward, LittleSharedMemory) {
    for (const uint32_t head_size : {64u, 96u, 256u})  // other rows a block, and where own rows are, differ
        run_case(
            {.lengths = {33}, .heads = 1, .head_size = head_size, .dropout = 0.1f, .shared_memory = 16384});
}

TEST(AttentionBackward, RefusesShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor qkv = plan.persistent("qkv", 16, 96), output = plan.persistent("output", 16, 32),
                 tiles = plan.persistent("tiles", 1, 4, Type::uint32),
                 logsumexp = plan.persistent("logsumexp", 16, 2);
    const auto append = [&](const Tensor& d_qkv, const Tensor& d_output, const Tensor& kept, uint32_t heads) {
        ops::attention_backward(plan, "test", d_qkv, d_output, qkv, output, kept, tiles, {.heads = heads});
    };
    EXPECT_THROW(append(qkv, output, logsumexp, 3), Error);
    EXPECT_THROW(append(output, output, logsumexp, 2), Error);
    EXPECT_THROW(append(qkv, qkv, logsumexp, 2), Error);
    EXPECT_THROW(append(qkv, output, output, 2), Error);
    EXPECT_NO_THROW(append(qkv, output, logsumexp, 2));
}
