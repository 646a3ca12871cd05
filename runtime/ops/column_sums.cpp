#include <algorithm>
#include <vector>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/column_sums.h"
}

VKBERT_DECLARE_SHADER(column_sums_fp32)
VKBERT_DECLARE_SHADER(column_sums_fp16)
VKBERT_DECLARE_SHADER(column_sums_wide_fp32)
VKBERT_DECLARE_SHADER(column_sums_wide_fp16)
VKBERT_DECLARE_SHADER(column_sums_texel_fp32)
VKBERT_DECLARE_SHADER(column_sums_texel_fp16)

namespace vkbert::ops {
namespace {

constexpr uint32_t invocations = 64;
/// Strips are about this long, so that few columns still make many invocations; no more strips than that
/// many, so that the second pass is short. Up to twice as many rows are summed in one pass.
constexpr uint32_t rows_per_strip = 32, max_strips = 64;

std::vector<Kernel> make_kernels(const Shader& texel_shader, const Shader& plain_shader,
                                 const Shader& wide_shader) {
    using enum BindingKind;
    return joined(wide_kernels("column_sums", wide_shader, {storage, address, address}),
                  texel_and_plain_kernels("column_sums", texel_shader, {invocations}, plain_shader,
                                          {invocations}, {storage, texel, storage}));
}

/// output(strips,N) from input(T,N): one pass.
void append(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input,
            bool accumulate) {
    const uint32_t strips = output.rows.capacity;
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {input}, {output, accumulate ? Access::read_write : Access::write}};
    dispatch.kernel = &choose_fitting(plan, column_sums_kernels(input.type), dispatch.bindings);
    dispatch.set_push(ColumnSumsPush{input.rows.capacity, input.rows.symbol, output.columns, input.pitch / 4,
                                     output.pitch / 4, strips, uint32_t(accumulate)});
    dispatch.groups = {Groups{output.columns, 4 * dispatch.kernel->constants[0]}, Groups{strips}, Groups{}};
    dispatch.work = {.extent = input.rows,
                     .flops_per_row = double(input.columns),
                     .bytes_per_row = double(input.columns) * size_of(input.type),
                     .bytes = 4.0 * output.columns * strips};
    plan.append(std::move(dispatch));
}

}  // namespace

std::span<const Kernel> column_sums_kernels(Type type) {
    static const std::vector<Kernel> fp32 = make_kernels(
        shaders::column_sums_texel_fp32, shaders::column_sums_fp32, shaders::column_sums_wide_fp32);
    static const std::vector<Kernel> fp16 = make_kernels(
        shaders::column_sums_texel_fp16, shaders::column_sums_fp16, shaders::column_sums_wide_fp16);
    return type == Type::fp16 ? fp16 : fp32;
}

void column_sums(Plan& plan, const std::string& label, const Tensor& sums, const Tensor& input,
                 bool accumulate) {
    check(input.type != Type::uint32 && input.pitch % 4 == 0, label,
          "column_sums: input fp32 or fp16, its pitch a multiple of 4");
    check(is_vector(sums, input.columns), label, "column_sums: sums (1,N) fp32 of the input's N");
    const uint32_t rows = input.rows.capacity;
    if (rows <= 2 * rows_per_strip) return append(plan, label, sums, input, accumulate);
    const uint32_t strips = std::min((rows + rows_per_strip - 1) / rows_per_strip, max_strips);
    const Tensor partial = plan.temporary(label + " strips", strips, (input.columns + 3) / 4 * 4);
    append(plan, label + " strips", partial, input, false);
    append(plan, label, sums, partial, accumulate);
}

}  // namespace vkbert::ops
