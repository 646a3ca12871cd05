#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/embedding_forward.h"
}

VKBERT_DECLARE_SHADER(embedding_forward_fp32)
VKBERT_DECLARE_SHADER(embedding_forward_fp16)
VKBERT_DECLARE_SHADER(embedding_forward_wide_fp32)
VKBERT_DECLARE_SHADER(embedding_forward_wide_fp16)
VKBERT_DECLARE_SHADER(embedding_forward_texel_fp32)
VKBERT_DECLARE_SHADER(embedding_forward_texel_fp16)

namespace vkbert::ops {

static constexpr uint32_t embedding_invocations = 64;

std::span<const Kernel> embedding_forward_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const StepShaders& shaders) {
        return step_kernels("embedding_forward", shaders, {16, 48}, {embedding_invocations, 1},
                            {storage, storage, storage, storage, address, address, address, address},
                            {storage, storage, storage, storage, texel, texel, texel, storage});
    };
    static const std::vector<Kernel> fp32 =
        make({&shaders::embedding_forward_wide_fp32, &shaders::embedding_forward_texel_fp32,
              &shaders::embedding_forward_fp32});
    static const std::vector<Kernel> fp16 =
        make({&shaders::embedding_forward_wide_fp16, &shaders::embedding_forward_texel_fp16,
              &shaders::embedding_forward_fp16});
    return type == Type::fp16 ? fp16 : fp32;
}

void embedding_forward(Plan& plan, const std::string& label, const Tensor& sum, const Tensor& ids,
                       const Tensor& positions, const Tensor& types, const EmbeddingTables& tables) {
    check(is_matrix4(sum), label, "embedding_forward: columns and pitch of the sum that are multiples of 4");
    for (const Tensor* indices : {&ids, &positions, &types})
        check(is_column(*indices, sum.rows, Type::uint32), label,
              "embedding_forward: ids, positions, types (T,1) uint32");
    for (const Tensor* table : {&tables.word, &tables.position, &tables.type})
        check(is_matrix4(*table) && table->type == sum.type && table->columns == sum.columns &&
                  table->rows.constant(),
              label, "embedding_forward: tables of the sum's columns and type");
    const Capabilities& device = plan.capabilities();
    const std::vector<RowBlock> blocks =
        row_blocks(tables.word, device.max_storage_buffer_range, tables.word.rows.capacity);
    for (const RowBlock& block : blocks) {
        const Tensor word = blocks.size() == 1 ? tables.word : tables.word.rows_at(block.first, block.count);
        Dispatch dispatch;
        dispatch.label = label;
        dispatch.bindings = {{plan.counts()},   {ids},         {positions},         {types}, {word},
                             {tables.position}, {tables.type}, {sum, Access::write}};
        dispatch.kernel = &choose_fitting(plan, embedding_forward_kernels(sum.type), dispatch.bindings);
        const std::vector<uint32_t>& constants = dispatch.kernel->constants;
        dispatch.set_push(EmbeddingForwardPush{sum.columns / 4, block.first, block.count, word.pitch / 4,
                                               tables.position.pitch / 4, tables.type.pitch / 4,
                                               sum.pitch / 4});
        dispatch.groups = {Groups{sum.rows}, Groups{sum.columns / 4, constants[0] * constants[1]}, Groups{}};
        const double row_bytes = double(sum.columns) * size_of(sum.type);
        dispatch.work = {.extent = sum.rows,
                         .flops_per_row = 2.0 * sum.columns / double(blocks.size()),
                         .bytes_per_row = 4 * row_bytes / double(blocks.size())};
        plan.append(std::move(dispatch));
    }
}

}  // namespace vkbert::ops
