#include <algorithm>
#include <numeric>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/embedding_backward.h"
}

VKBERT_DECLARE_SHADER(embedding_backward_fp32)
VKBERT_DECLARE_SHADER(embedding_backward_fp16)
VKBERT_DECLARE_SHADER(embedding_backward_wide_fp32)
VKBERT_DECLARE_SHADER(embedding_backward_wide_fp16)
VKBERT_DECLARE_SHADER(embedding_backward_texel_fp32)
VKBERT_DECLARE_SHADER(embedding_backward_texel_fp16)

namespace vkbert::ops {

static constexpr uint32_t embedding_invocations = 64;
// Rows a piece: as many as one workgroup may sum one after the other while others have few.
static constexpr uint32_t piece_rows = 64;
static constexpr uint32_t no_partial = 0xffffffff;

EmbeddingBuckets embedding_buckets(std::span<const uint32_t> ids) {
    EmbeddingBuckets buckets;
    const auto tokens = uint32_t(ids.size());
    buckets.order.resize(tokens);
    std::iota(buckets.order.begin(), buckets.order.end(), 0u);
    std::stable_sort(buckets.order.begin(), buckets.order.end(),
                     [&](uint32_t a, uint32_t b) { return ids[a] < ids[b]; });
    uint32_t partials = 0;
    for (uint32_t begin = 0, end = 0; begin < tokens; begin = end) {
        const uint32_t row = ids[buckets.order[begin]];
        while (end < tokens && ids[buckets.order[end]] == row) end++;
        if (end - begin <= piece_rows) {
            buckets.pieces.push_back({begin, end - begin, row, no_partial});
            continue;
        }
        const uint32_t first_partial = partials;
        for (uint32_t at = begin; at < end; at += piece_rows)
            buckets.pieces.push_back({at, std::min(piece_rows, end - at), row, partials++});
        buckets.sums.push_back({first_partial, partials - first_partial, row, no_partial});
    }
    return buckets;
}

uint32_t max_embedding_pieces(uint32_t tokens, uint32_t table_rows) {
    return std::min(tokens, table_rows) + tokens / piece_rows;
}

uint32_t max_embedding_sums(uint32_t tokens) {
    return tokens / (piece_rows + 1) + 1;
}

std::span<const Kernel> embedding_backward_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const StepShaders& shaders) {
        return step_kernels("embedding_backward", shaders, {8, 96}, {embedding_invocations, 1},
                            {storage, address, storage, storage, address, address},
                            {storage, texel, storage, storage, storage, storage, texel});
    };
    static const std::vector<Kernel> fp32 =
        make({&shaders::embedding_backward_wide_fp32, &shaders::embedding_backward_texel_fp32,
              &shaders::embedding_backward_fp32});
    static const std::vector<Kernel> fp16 =
        make({&shaders::embedding_backward_wide_fp16, &shaders::embedding_backward_texel_fp16,
              &shaders::embedding_backward_fp16});
    return type == Type::fp16 ? fp16 : fp32;
}

namespace {

/// One dispatch over pieces: of rows of d_sum that `order` lists or, without it, of partials.
struct Stage {
    const Tensor& source;
    const Tensor& pieces;
    const Tensor* order;
    const Tensor* partials;
};

void append(Plan& plan, const std::string& label, const Stage& stage, const Tensor& d_table,
            const RowBlock& block, uint32_t blocks) {
    const Tensor table = blocks == 1 ? d_table : d_table.rows_at(block.first, block.count);
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.constants = {d_table.columns / 4, uint32_t(stage.order != nullptr)};
    dispatch.bindings = {
        {plan.counts()},
        {stage.source},
        {stage.order != nullptr ? *stage.order : plan.counts()},
        {stage.pieces},
        {table, Access::read_write},
        // What is not there must be something that is written anyway: the shader says that it writes.
        {stage.partials != nullptr ? *stage.partials : table, Access::write},
        {table}};  // which `texel` reads in another way than it writes it
    dispatch.kernel = &choose_fitting(plan, embedding_backward_kernels(stage.source.type), dispatch.bindings);
    dispatch.bindings.resize(dispatch.kernel->bindings.size());
    const std::vector<uint32_t>& constants = dispatch.kernel->constants;
    const uint32_t columns4 = d_table.columns / 4;
    const bool with_partials = stage.partials != nullptr && block.first == 0;
    dispatch.set_push(EmbeddingBackwardPush{block.first, block.count, uint32_t(with_partials),
                                            stage.source.pitch / 4, d_table.pitch / 4});
    dispatch.groups = {Groups{stage.pieces.rows}, Groups{columns4, constants[0] * constants[1]}, Groups{}};
    const double part = double(d_table.columns) / blocks;
    dispatch.work = {.extent = stage.order != nullptr ? stage.source.rows : stage.pieces.rows,
                     .flops_per_row = part,
                     .bytes_per_row = part * (size_of(stage.source.type) + 8)};
    plan.append(std::move(dispatch));
}

}  // namespace

void embedding_backward(Plan& plan, const std::string& label, const Tensor& d_table, const Tensor& d_sum,
                        const EmbeddingRows& rows) {
    check(is_matrix4(d_sum) && is_matrix4(d_table) && d_table.type == Type::fp32 &&
              d_table.columns == d_sum.columns && d_table.rows.constant(),
          label,
          "embedding_backward: d_sum (T,H) and d_table (V,H) fp32, columns and pitches that are multiples of "
          "4");
    check(is_column(rows.order, d_sum.rows, Type::uint32), label, "embedding_backward: order (T,1) uint32");
    for (const Tensor* pieces : {&rows.pieces, &rows.sums})
        check(pieces->type == Type::uint32 && pieces->columns == 4 && pieces->pitch == 4, label,
              "embedding_backward: pieces and sums (n,4) uint32");
    const uint32_t tokens = d_sum.rows.capacity;
    // A bucket of n > 64 rows makes ceil(n / 64) < 2 n / 64 of them.
    const Tensor partials =
        plan.temporary(label + " partial sums", 2 * (tokens / piece_rows) + 1, d_table.columns);
    const std::vector<RowBlock> blocks =
        row_blocks(d_table, plan.capabilities().max_storage_buffer_range, d_table.rows.capacity);
    const auto count = uint32_t(blocks.size());
    for (const RowBlock& block : blocks)
        append(plan, label, {d_sum, rows.pieces, &rows.order, &partials}, d_table, block, count);
    for (const RowBlock& block : blocks)
        append(plan, label, {partials, rows.sums, nullptr, nullptr}, d_table, block, count);
}

}  // namespace vkbert::ops
