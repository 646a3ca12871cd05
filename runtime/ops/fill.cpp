#include <algorithm>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/fill.h"
}

VKBERT_DECLARE_SHADER(fill)

namespace vkbert::ops {
namespace {

constexpr uint32_t invocations = 64;

/// A tensor that one dispatch can take.
void append(Plan& plan, const std::string& label, const Tensor& tensor, uint32_t word) {
    const uint32_t per_word = 4 / size_of(tensor.type);
    const uint32_t columns = tensor.columns / per_word, pitch = tensor.pitch / per_word;
    const bool wide = columns % 4 == 0 && pitch % 4 == 0;
    const uint32_t unit = wide ? 4 : 1;
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(fill_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.constants = {uint32_t(wide)};
    dispatch.bindings = {{plan.counts()}, {tensor, Access::write}};
    dispatch.set_push(FillPush{tensor.rows.capacity, tensor.rows.symbol, columns / unit, pitch / unit, word});
    dispatch.groups = {Groups{columns / unit, invocations}, Groups{tensor.rows}, Groups{}};
    dispatch.work = {.extent = tensor.rows, .bytes_per_row = 4.0 * columns};
    plan.append(std::move(dispatch));
}

}  // namespace

std::span<const Kernel> fill_kernels() {
    using enum BindingKind;
    static const Kernel kernel{.op = "fill",
                               .name = "plain",
                               .shader = &shaders::fill,
                               .requirements = {.invocations = invocations},
                               .constants = {invocations},
                               .bindings = {storage, storage}};
    return {&kernel, 1};
}

void fill(Plan& plan, const std::string& label, const Tensor& tensor, uint32_t word) {
    const uint32_t per_word = 4 / size_of(tensor.type);
    check(tensor.columns % per_word == 0 && tensor.pitch % per_word == 0, label, "fill: rows of whole words");
    const Capabilities& device = plan.capabilities();
    const uint64_t bytes = device.max_storage_buffer_range;
    // 128 columns are on every alignment of a binding.
    const uint32_t most = uint32_t(std::min<uint64_t>(uint64_t(device.max_workgroup_count[0]) * invocations,
                                                      bytes / size_of(tensor.type))) /
                          128 * 128;
    for (const RowBlock& rows : row_blocks(tensor, bytes, device.max_workgroup_count[1])) {
        const bool whole = rows.count == tensor.rows.capacity;
        const Tensor block = whole ? tensor : tensor.rows_at(rows.first, rows.count);
        for (uint32_t first = 0; first < tensor.columns; first += most)
            append(plan, label, block.columns_at(first, std::min(most, tensor.columns - first)), word);
    }
}

}  // namespace vkbert::ops
