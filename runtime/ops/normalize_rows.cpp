#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/normalize_rows.h"
}

VKBERT_DECLARE_SHADER(normalize_rows)
VKBERT_DECLARE_SHADER(normalize_rows_shared)
VKBERT_DECLARE_SHADER(normalize_rows_one_subgroup)

namespace vkbert::ops {

std::span<const Kernel> normalize_rows_kernels() {
    using enum BindingKind;
    static const std::vector<Kernel> kernels = reduction_kernels(
        "normalize_rows",
        {&shaders::normalize_rows, &shaders::normalize_rows_shared, &shaders::normalize_rows_one_subgroup},
        64, {storage, storage, storage});
    return kernels;
}

void normalize_rows(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input) {
    check(is_matrix4(input) && is_matrix4(output) && input.type == Type::fp32 && output.type == Type::fp32,
          label, "normalize_rows: fp32, columns and pitches that are multiples of 4");
    check(input.rows == output.rows && input.columns == output.columns, label, "normalize_rows: one shape");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(normalize_rows_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {input}, {output, Access::write}};
    dispatch.set_push(NormalizeRowsPush{input.columns / 4, input.pitch / 4, output.pitch / 4});
    dispatch.groups = {Groups{input.rows}, Groups{}, Groups{}};
    dispatch.work = {
        .extent = input.rows, .flops_per_row = 3.0 * input.columns, .bytes_per_row = 8.0 * input.columns};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
