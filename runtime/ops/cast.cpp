#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/cast.h"
}

VKBERT_DECLARE_SHADER(cast_narrow)
VKBERT_DECLARE_SHADER(cast_widen)

namespace vkbert::ops {

static constexpr uint32_t cast_invocations = 64;

std::span<const Kernel> cast_kernels(Type from) {
    using enum BindingKind;
    const auto make = [](const Shader& shader) {
        return Kernel{.op = "cast",
                      .name = "plain",
                      .shader = &shader,
                      .requirements = {.invocations = cast_invocations},
                      .constants = {cast_invocations},
                      .bindings = {storage, storage, storage}};
    };
    static const Kernel narrow = make(shaders::cast_narrow), widen = make(shaders::cast_widen);
    return {from == Type::fp16 ? &widen : &narrow, 1};
}

void cast(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input) {
    check(is_matrix4(input) && is_matrix4(output), label,
          "cast: columns and pitches that are multiples of 4");
    check(input.type != output.type, label, "cast: fp32 to fp16 or fp16 to fp32");
    check(input.rows == output.rows && input.columns == output.columns, label, "cast: one shape");
    const Capabilities& device = plan.capabilities();
    const Tensor& larger = input.type == Type::fp32 ? input : output;
    for (const RowBlock& block :
         row_blocks(larger, device.max_storage_buffer_range, device.max_workgroup_count[1])) {
        const bool whole = block.count == input.rows.capacity;
        const Tensor from = whole ? input : input.rows_at(block.first, block.count);
        const Tensor to = whole ? output : output.rows_at(block.first, block.count);
        Dispatch dispatch;
        dispatch.kernel = &choose_kernel(cast_kernels(input.type), device, plan.choices());
        dispatch.label = label;
        dispatch.bindings = {{plan.counts()}, {from}, {to, Access::write}};
        dispatch.set_push(
            CastPush{from.rows.capacity, from.rows.symbol, from.columns / 4, from.pitch / 4, to.pitch / 4});
        dispatch.groups = {Groups{from.columns / 4, cast_invocations}, Groups{from.rows}, Groups{}};
        dispatch.work = {.extent = from.rows, .bytes_per_row = 6.0 * from.columns};
        plan.append(std::move(dispatch));
    }
}

}  // namespace vkbert::ops
