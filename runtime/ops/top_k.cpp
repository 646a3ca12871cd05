#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/top_k.h"
}

VKBERT_DECLARE_SHADER(top_k)
VKBERT_DECLARE_SHADER(top_k_shared)

namespace vkbert::ops {

std::span<const Kernel> top_k_kernels() {
    using enum BindingKind;
    // No variant of a few lanes: Mesa's llvmpipe ends every loop of a shader after 65,535 steps in all.
    static const std::vector<Kernel> kernels = [] {
        std::vector<Kernel> made =
            reduction_kernels("top_k", {&shaders::top_k, &shaders::top_k_shared, nullptr}, 128,
                              {storage, storage, storage, storage});
        // Four reductions, each of which PanVK turns into shuffles, spill with its 64 registers.
        made.front().requirements.registers = 72;
        return made;
    }();
    return kernels;
}

void top_k(Plan& plan, const std::string& label, const Tensor& values, const Tensor& indices,
           const Tensor& input) {
    const uint32_t k = values.columns;
    check(input.type == Type::fp32 && values.type == Type::fp32 && indices.type == Type::uint32, label,
          "top_k: input and values fp32, indices uint32");
    check(k >= 1 && k <= 128 && k <= input.columns && indices.columns == k, label,
          "top_k: values and indices of k columns, 1 <= k <= 128, and at least k columns to choose from");
    check(values.rows == input.rows && indices.rows == input.rows, label, "top_k: as many rows as the input");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(top_k_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {input}, {values, Access::write}, {indices, Access::write}};
    dispatch.set_push(TopKPush{input.columns, k, input.pitch, values.pitch, indices.pitch});
    dispatch.groups = {Groups{input.rows}, Groups{}, Groups{}};
    dispatch.work = {.extent = input.rows, .bytes_per_row = 4.0 * input.columns + 8.0 * k};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
