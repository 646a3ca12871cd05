#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/gather_rows.h"
}

VKBERT_DECLARE_SHADER(gather_rows_fp32)
VKBERT_DECLARE_SHADER(gather_rows_fp16)
VKBERT_DECLARE_SHADER(gather_rows_widen)
VKBERT_DECLARE_SHADER(scatter_rows_fp32)
VKBERT_DECLARE_SHADER(scatter_rows_fp16)
VKBERT_DECLARE_SHADER(scatter_rows_narrow)

namespace vkbert::ops {
namespace {

constexpr uint32_t invocations = 64;

Kernel make_kernel(std::string_view op, const Shader& shader) {
    using enum BindingKind;
    return {.op = op,
            .name = "plain",
            .shader = &shader,
            .requirements = {.invocations = invocations},
            .constants = {invocations},
            .bindings = {storage, storage, storage, storage}};
}

void append(Plan& plan, const std::string& label, std::span<const Kernel> kernels, const Tensor& output,
            const Tensor& input, const Tensor& rows) {
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(kernels, plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {input}, {rows}, {output, Access::write}};
    dispatch.set_push(GatherRowsPush{output.columns / 4, input.pitch / 4, output.pitch / 4});
    dispatch.groups = {Groups{rows.rows}, Groups{output.columns / 4, invocations}, Groups{}};
    dispatch.work = {.extent = rows.rows,
                     .bytes_per_row = double(output.columns) * (size_of(input.type) + size_of(output.type))};
    plan.append(std::move(dispatch));
}

}  // namespace

std::span<const Kernel> gather_rows_kernels(Type from, Type to) {
    static const Kernel fp32 = make_kernel("gather_rows", shaders::gather_rows_fp32),
                        fp16 = make_kernel("gather_rows", shaders::gather_rows_fp16),
                        widen = make_kernel("gather_rows", shaders::gather_rows_widen);
    return {from == Type::fp32 ? &fp32 : to == Type::fp32 ? &widen : &fp16, 1};
}

std::span<const Kernel> scatter_rows_kernels(Type from, Type to) {
    static const Kernel fp32 = make_kernel("scatter_rows", shaders::scatter_rows_fp32),
                        fp16 = make_kernel("scatter_rows", shaders::scatter_rows_fp16),
                        narrow = make_kernel("scatter_rows", shaders::scatter_rows_narrow);
    return {from == Type::fp16 ? &fp16 : to == Type::fp16 ? &narrow : &fp32, 1};
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
    append(plan, label, gather_rows_kernels(input.type, output.type), output, input, rows);
}

void scatter_rows(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input,
                  const Tensor& rows) {
    check(is_matrix4(output) && is_matrix4(input), label,
          "scatter_rows: columns and pitches that are multiples of 4");
    check(output.type == input.type || input.type == Type::fp32, label,
          "scatter_rows: input of the output's type or fp32");
    check(output.columns == input.columns, label, "scatter_rows: output and input of the same columns");
    check(is_column(rows, input.rows, Type::uint32), label,
          "scatter_rows: rows (R,1) uint32 of the input's R");
    fill(plan, label + " zero", output, 0);
    append(plan, label, scatter_rows_kernels(input.type, output.type), output, input, rows);
}

}  // namespace vkbert::ops
