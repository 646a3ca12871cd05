#include <vector>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/activation_backward.h"
}

VKBERT_DECLARE_SHADER(activation_backward_fp32)
VKBERT_DECLARE_SHADER(activation_backward_fp16)
VKBERT_DECLARE_SHADER(activation_backward_texel_fp32)
VKBERT_DECLARE_SHADER(activation_backward_texel_fp16)

namespace vkbert::ops {
namespace {

constexpr uint32_t invocations = 64;

std::vector<Kernel> make_kernels(const Shader& texel_shader, const Shader& plain_shader) {
    using enum BindingKind;
    return texel_and_plain_kernels("activation_backward", texel_shader, {invocations}, plain_shader,
                                   {invocations}, {storage, texel, texel, storage});
}

bool same_kind(const Tensor& a, const Tensor& b) {
    return is_matrix4(a) && is_matrix4(b) && a.type == b.type && a.rows == b.rows && a.columns == b.columns;
}

}  // namespace

std::span<const Kernel> activation_backward_kernels(Type type) {
    static const std::vector<Kernel> fp32 =
        make_kernels(shaders::activation_backward_texel_fp32, shaders::activation_backward_fp32);
    static const std::vector<Kernel> fp16 =
        make_kernels(shaders::activation_backward_texel_fp16, shaders::activation_backward_fp16);
    return type == Type::fp16 ? fp16 : fp32;
}

void activation_backward(Plan& plan, const std::string& label, const Tensor& d_x, const Tensor& d_y,
                         const Tensor& x, Activation activation) {
    check(same_kind(d_x, x) && same_kind(d_y, x), label,
          "activation_backward: d_x, d_y and x of one type and shape, columns and pitches multiples of 4");
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.constants = {uint32_t(activation)};
    dispatch.bindings = {{plan.counts()}, {x}, {d_y}, {d_x, Access::write}};
    dispatch.kernel = &choose_fitting(plan, activation_backward_kernels(x.type), dispatch.bindings);
    dispatch.set_push(ActivationBackwardPush{x.rows.capacity, x.rows.symbol, x.columns / 4, x.pitch / 4,
                                             d_y.pitch / 4, d_x.pitch / 4});
    dispatch.groups = {Groups{x.columns / 4, invocations}, Groups{x.rows}, Groups{}};
    dispatch.work = {.extent = x.rows,
                     .flops_per_row = 16.0 * x.columns,
                     .bytes_per_row = 3.0 * x.columns * size_of(x.type)};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
