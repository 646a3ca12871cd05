#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "runtime/ops/attention.hpp"
#include "runtime/ops/tables.hpp"
#include "tests/attention_lists.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_random.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

struct Case {
    std::vector<uint32_t> lengths;
    uint32_t heads, head_size;
    Type type = Type::fp32;
    bool causal = false, keep = false;
    uint32_t spare_rows =
        0;                 // capacity beyond the rows of this run; rows and tiles are run-time extents then
    double magnitude = 1;  // of queries, keys and values
    float dropout = 0;
    uint32_t registers = 0;  // fewer than the device has
};

/// Whether the forced variant is one for these heads and this type.
bool concerns(const KernelChoices& choices, const Case& c) {
    const auto table = ops::attention_forward_kernels(c.type);
    const auto kernel = std::ranges::find(table, choices.at("attention_forward"), &Kernel::name);
    return kernel != table.end() && ops::supports_attention(*kernel, c.head_size);
}

void run_case(const Case& c) {
    const std::vector<uint32_t> offsets = offsets_of(c.lengths);
    const uint32_t tokens = offsets.back(), hidden = c.heads * c.head_size;
    SCOPED_TRACE(fmt::format("{} tokens in {} sequences, {} heads of {}, {}{}", tokens, c.lengths.size(),
                             c.heads, c.head_size, name_of(c.type), c.causal ? ", causal" : "") +
                 fmt::format(", dropout {}", c.dropout));
    const Matrix qkv = random_matrix(tokens, 3 * hidden, c.head_size + tokens, c.type, c.magnitude);
    const std::vector<uint32_t> state{17, 18, 19, 0};
    const reference::DropoutMask mask{c.dropout, 5, {17, 18, 19, 0}};
    const reference::Attention expected = reference::attention(qkv, offsets, c.heads, c.causal, &mask);
    Matrix magnitudes = qkv;
    for (uint32_t row = 0; row < tokens; row++)
        for (uint32_t i = 2 * hidden; i < 3 * hidden; i++) magnitudes(row, i) = std::fabs(qkv(row, i));
    const Matrix terms = reference::attention(magnitudes, offsets, c.heads, c.causal, &mask).output;
    const std::vector<ops::AttentionTile> tiles = ops::attention_tiles(offsets);
    for_each_variant("attention_forward", [&](const KernelChoices& choices) {
        if (!concerns(choices, c)) return;
        Capabilities capabilities = device().capabilities();
        if (c.registers != 0) capabilities.registers = c.registers;
        OpRun run(choices, capabilities);
        Extent rows = tokens, tile_rows = uint32_t(tiles.size());
        if (c.spare_rows != 0) {
            rows = run.rows(tokens + c.spare_rows, tokens);
            tile_rows = run.rows(uint32_t(tiles.size()) + c.spare_rows, uint32_t(tiles.size()));
        }
        const Tensor input = run.input(qkv, c.type, {.rows = rows});
        const Tensor list = run.input(words_of(tiles), 4, {.rows = tile_rows});
        const Tensor output = run.output(rows, hidden, c.type);
        ops::AttentionOptions options{.heads = c.heads, .causal = c.causal};
        const ops::Dropout dropout{c.dropout, 5, run.input(state, 4)};
        if (c.dropout > 0) options.dropout = &dropout;
        Tensor logsumexp;
        if (c.keep) options.logsumexp = &(logsumexp = run.output(rows, c.heads));
        ops::attention_forward(run.plan(), "test", output, input, list, options);
        EXPECT_EQ(run.plan().dispatches().front().kernel->name, choices.at("attention_forward"));
        run.execute();
        // On matrix cores the weights are rounded to fp16.
        const bool matrices = run.plan().dispatches().front().kernel->requirements.matrix.m != 0;
        const double weight = matrices ? roundoff(Type::fp16) : 0;
        // A score is a sum of head_size products and a power of two; the error of a weight is that of its
        // score.
        const double score = c.magnitude * c.magnitude * std::sqrt(double(c.head_size)) + 8;
        const double single = 16 * roundoff(Type::fp32) * score * std::max(c.magnitude, 1.0);
        expect_near(run.result(output), expected.output, [&](uint32_t row, uint32_t column) {
            return single + weight * terms(row, column) +
                   roundoff(c.type) * std::fabs(expected.output(row, column));
        });
        if (c.keep)
            expect_near(run.result(logsumexp), expected.logsumexp,
                        [&](uint32_t, uint32_t) { return single; });
    });
}

}  // namespace

TEST(AttentionTiles, CoverEveryRowOnceLongestFirst) {
    std::mt19937 random(5);
    for (int trial = 0; trial < 50; trial++) {
        std::vector<uint32_t> lengths(random() % 20);
        for (uint32_t& length : lengths) length = random() % 70;  // zero as well
        const std::vector<uint32_t> offsets = offsets_of(lengths);
        const std::vector<ops::AttentionTile> tiles = ops::attention_tiles(offsets);
        std::set<uint32_t> rows;
        uint32_t longest = UINT32_MAX;
        for (const ops::AttentionTile& tile : tiles) {
            EXPECT_GE(tile.rows, 1u);
            EXPECT_LE(tile.rows, ops::attention_tile_rows);
            EXPECT_LE(tile.length, longest);
            longest = tile.length;
            EXPECT_GE(tile.row, tile.first);
            EXPECT_LE(tile.row + tile.rows, tile.first + tile.length);
            for (uint32_t row = tile.row; row < tile.row + tile.rows; row++)
                EXPECT_TRUE(rows.insert(row).second);
        }
        EXPECT_EQ(rows.size(), offsets.back());
        EXPECT_LE(tiles.size(), ops::max_attention_tiles(offsets.back(), uint32_t(lengths.size())));
    }
    EXPECT_TRUE(ops::attention_tiles({}).empty());
    EXPECT_TRUE(ops::attention_tiles({0}).empty());
    EXPECT_EQ(ops::max_attention_tiles(16, 1), 1u);
    EXPECT_EQ(ops::max_attention_tiles(17, 1), 2u);
    EXPECT_EQ(ops::max_attention_tiles(3, 3), 3u);
}

TEST(Attention, SequencesOfAllLengthsAboutATile) {
    std::vector<uint32_t> lengths(35);
    std::iota(lengths.begin(), lengths.end(), 1u);
    run_case({.lengths = lengths, .heads = 2, .head_size = 32});
}

TEST(Attention, HeadSizes) {
    for (const uint32_t head_size : {1u, 2u, 3u, 4u, 8u, 16u, 26u, 32u, 40u, 64u, 80u, 96u, 128u, 129u, 256u})
        run_case({.lengths = {41, 1, 17}, .heads = 4, .head_size = head_size});
}

TEST(Attention, HalfPrecision) {
    for (const uint32_t head_size : {2u, 26u, 32u, 64u, 128u})
        run_case({.lengths = {37, 5, 16},
                  .heads = 2,
                  .head_size = head_size * 2 % 4 == 0 ? head_size : head_size * 2,
                  .type = Type::fp16});
}

TEST(Attention, HalfPrecisionOverManyBlocks) {
    const std::vector<uint32_t> lengths{1, 31, 32, 33, 64, 65, 130};
    run_case({.lengths = lengths, .heads = 2, .head_size = 32, .type = Type::fp16, .keep = true});
    run_case({.lengths = lengths,
              .heads = 2,
              .head_size = 64,
              .type = Type::fp16,
              .causal = true,
              .keep = true,
              .spare_rows = 40,
              .dropout = 0.1f});
    for (const uint32_t head_size : {32u, 64u})  // references of rows rise
        run_case({.lengths = {130},
                  .heads = 1,
                  .head_size = head_size,
                  .type = Type::fp16,
                  .keep = true,
                  .magnitude = 12});
}

TEST(Attention, MatrixCoresWhereThereAreSome) {
    Capabilities capabilities = device().capabilities();
    capabilities.device_class = DeviceClass::discrete;
    capabilities.cooperative_matrix = true;
    capabilities.cooperative_matrix_broken = false;
    capabilities.cooperative_matrix_shapes = {{16, 16, 16, "fp16", "fp16", "fp32", "fp32"}};
    capabilities.subgroup_arithmetic = capabilities.subgroup_shuffle = capabilities.subgroup_size_control =
        true;
    capabilities.subgroup_basic = capabilities.storage_16bit = true;
    capabilities.max_shared_memory = 32768;
    capabilities.subgroup_size = 32;
    capabilities.min_subgroup_size = 16;
    capabilities.max_subgroup_size = 64;
    const auto chosen = [&](Type type, uint32_t head_size, const KernelChoices& choices = {}) {
        Plan plan(capabilities, choices);
        ops::attention_forward(plan, "test", plan.persistent("output", 16, head_size, type),
                               plan.persistent("qkv", 16, 3 * head_size, type),
                               plan.persistent("tiles", 1, 4, Type::uint32), {.heads = 1});
        return plan.dispatches().front().kernel->name;
    };
    if (ops::attention_forward_kernels(Type::fp16).front().name != "matrix_16")
        GTEST_SKIP() << "built without matrix-core kernels";
    for (const uint32_t head_size : {32u, 64u, 128u}) EXPECT_EQ(chosen(Type::fp16, head_size), "matrix_16");
    for (const uint32_t head_size : {26u * 4, 16u, 256u}) EXPECT_EQ(chosen(Type::fp16, head_size), "tiled");
    EXPECT_EQ(chosen(Type::fp32, 64), "tiled");
    for (const Kernel& kernel : ops::attention_forward_kernels(Type::fp16)) {
        EXPECT_LE(kernel.requirements.shared_memory, 32768u) << kernel.name;
    }
    const KernelChoices forced{{"attention_forward", "matrix_16"}};
    EXPECT_EQ(chosen(Type::fp16, 64, forced), "matrix_16");
    EXPECT_EQ(chosen(Type::fp16, 16, forced), "tiled");
    EXPECT_EQ(chosen(Type::fp32, 64, forced), "tiled");
    EXPECT_THROW(chosen(Type::fp32, 64, {{"attention_forward", "matrix_17"}}), Error);
    capabilities.device_class = DeviceClass::cpu;
    EXPECT_FALSE(chosen(Type::fp16, 64).starts_with("matrix"));
}

TEST(Attention, Causal) {
    run_case({.lengths = {1, 16, 33, 70}, .heads = 2, .head_size = 32, .causal = true, .keep = true});
    run_case({.lengths = {50}, .heads = 2, .head_size = 26, .causal = true});
}

TEST(Attention, Dropout) {
    run_case({.lengths = {1, 9, 65, 16}, .heads = 3, .head_size = 64, .keep = true, .dropout = 0.1f});
    for (const uint32_t head_size : {26u, 32u, 80u, 128u, 256u})  // all numbers of keys in a block
        run_case({.lengths = {41, 70}, .heads = 2, .head_size = head_size, .dropout = 0.4f});
    run_case(
        {.lengths = {50}, .heads = 2, .head_size = 32, .type = Type::fp16, .causal = true, .dropout = 0.1f});
}

TEST(Attention, FewRegisters) {
    for (const uint32_t head_size : {26u, 32u, 64u, 128u})
        run_case(
            {.lengths = {41, 16, 70}, .heads = 2, .head_size = head_size, .keep = true, .registers = 64});
    run_case({.lengths = {70},
              .heads = 2,
              .head_size = 64,
              .type = Type::fp16,
              .causal = true,
              .dropout = 0.1f,
              .registers = 64});
}

TEST(Attention, KeepsLogSumExp) {
    run_case({.lengths = {9, 65}, .heads = 3, .head_size = 64, .keep = true});
    run_case({.lengths = {9, 65}, .heads = 3, .head_size = 64, .type = Type::fp16, .keep = true});
}

TEST(Attention, LongSequenceAndLargeScores) {
    run_case({.lengths = {512}, .heads = 1, .head_size = 64});
    run_case({.lengths = {130}, .heads = 1, .head_size = 64, .keep = true, .magnitude = 12});
}

TEST(Attention, RunTimeExtentsBelowCapacity) {
    run_case({.lengths = {19, 3}, .heads = 2, .head_size = 16, .keep = true, .spare_rows = 40});
    run_case({.lengths = {}, .heads = 2, .head_size = 16, .spare_rows = 40});
}

TEST(Attention, PassesOverTexelBuffersThatAreTooSmall) {
    Capabilities capabilities = device().capabilities();
    capabilities.max_texel_elements = 100;
    Plan plan(capabilities);
    const Tensor qkv = plan.persistent("qkv", 16, 96), output = plan.persistent("output", 16, 32),
                 tiles = plan.persistent("tiles", 1, 4, Type::uint32);
    ops::attention_forward(plan, "test", output, qkv, tiles, {.heads = 2});
    for (const BindingKind kind : plan.dispatches().front().kernel->bindings)
        EXPECT_NE(kind, BindingKind::texel);
}

TEST(Attention, RefusesShapesThatDoNotFit) {
    Plan plan(device().capabilities());
    const Tensor qkv = plan.persistent("qkv", 16, 96), output = plan.persistent("output", 16, 32),
                 tiles = plan.persistent("tiles", 1, 4, Type::uint32);
    EXPECT_THROW(ops::attention_forward(plan, "test", output, qkv, tiles, {.heads = 3}), Error);
    EXPECT_THROW(ops::attention_forward(plan, "test", qkv, qkv, tiles, {.heads = 2}), Error);
    EXPECT_THROW(ops::attention_forward(plan, "test", output, qkv, output, {.heads = 2}), Error);
    const Tensor wide = plan.persistent("wide", 16, 3 * 512),
                 wide_output = plan.persistent("wide output", 16, 512);
    EXPECT_THROW(ops::attention_forward(plan, "test", wide_output, wide, tiles, {.heads = 1}), Error);
}
