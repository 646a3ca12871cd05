#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/softmax_forward.h"
}

VKBERT_DECLARE_SHADER(softmax_forward)
VKBERT_DECLARE_SHADER(softmax_forward_shared)

namespace vkbert::ops {

std::span<const Kernel> softmax_forward_kernels() {
    using enum BindingKind;
    // No variant of a few lanes: Mesa's llvmpipe ends every loop of a shader after 65,535 steps in all.
    static const std::vector<Kernel> kernels = reduction_kernels(
        "softmax_forward", {&shaders::softmax_forward, &shaders::softmax_forward_shared, nullptr}, 128,
        {storage, storage, storage});
    return kernels;
}

void softmax_forward(Plan& plan, const std::string& label, const Tensor& probabilities,
                     const Tensor& logits) {
    check(logits.type == Type::fp32 && probabilities.type == Type::fp32, label, "softmax_forward: fp32");
    check(logits.rows == probabilities.rows && logits.columns == probabilities.columns, label,
          "softmax_forward: one shape");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(softmax_forward_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {logits}, {probabilities, Access::write}};
    dispatch.set_push(SoftmaxForwardPush{logits.columns, logits.pitch, probabilities.pitch});
    dispatch.groups = {Groups{logits.rows}, Groups{}, Groups{}};
    dispatch.work = {
        .extent = logits.rows, .flops_per_row = 6.0 * logits.columns, .bytes_per_row = 8.0 * logits.columns};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
