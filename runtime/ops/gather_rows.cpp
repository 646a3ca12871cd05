#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/gather_rows.h"
}

VKBERT_DECLARE_SHADER(gather_rows_fp32)
VKBERT_DECLARE_SHADER(gather_rows_fp16)
VKBERT_DECLARE_SHADER(gather_rows_widen)

namespace vkbert::ops {

static constexpr uint32_t gather_invocations = 64;

std::span<const Kernel> gather_rows_kernels(Type from, Type to) {
    using enum BindingKind;
    const auto make = [](const Shader& shader) {
        return Kernel{.op = "gather_rows",
                      .name = "plain",
                      .shader = &shader,
                      .requirements = {.invocations = gather_invocations},
                      .constants = {gather_invocations},
                      .bindings = {storage, storage, storage, storage}};
    };
    static const Kernel fp32 = make(shaders::gather_rows_fp32), fp16 = make(shaders::gather_rows_fp16),
                        widen = make(shaders::gather_rows_widen);
    return {from == Type::fp32 ? &fp32 : to == Type::fp32 ? &widen : &fp16, 1};
}

void gather_rows(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input,
                 const Tensor& rows) {
    check(is_matrix4(output) && is_matrix4(input), label,
          "gather_rows: columns and pitches that are multiples of 4");
    check(output.type == input.type || output.type == Type::fp32, label,
          "gather_rows: output of the input's type or fp32");
    check(output.columns == input.columns, label, "gather_rows: output and input of the same columns");
    check(is_column(rows, output.rows, Type::uint32), label,
          "gather_rows: rows (R,1) uint32 of the output's R");
    Dispatch dispatch;
    dispatch.kernel =
        &choose_kernel(gather_rows_kernels(input.type, output.type), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {input}, {rows}, {output, Access::write}};
    dispatch.set_push(GatherRowsPush{output.columns / 4, input.pitch / 4, output.pitch / 4});
    dispatch.groups = {Groups{output.rows}, Groups{output.columns / 4, gather_invocations}, Groups{}};
    dispatch.work = {.extent = output.rows,
                     .bytes_per_row = double(output.columns) * (size_of(input.type) + size_of(output.type))};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
