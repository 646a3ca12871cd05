#include "runtime/ops/dropout.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/dropout.h"
}

VKBERT_DECLARE_SHADER(dropout_fp32)
VKBERT_DECLARE_SHADER(dropout_fp16)

namespace vkbert::ops {

static constexpr uint32_t dropout_invocations = 64;

uint32_t dropout_kept(const Dropout& dropout, const std::string& label) {
    check(dropout.probability >= 0 && dropout.probability < 1, label, "a dropout probability in [0,1)");
    const auto kept = uint32_t(std::lround(256 * (1 - double(dropout.probability))));
    if (dropout.probability > 0)
        check(dropout.state.type == Type::uint32 && dropout.state.rows == Extent(1u) &&
                  dropout.state.columns == 4,
              label, "a dropout state (1,4) uint32");
    return std::clamp(kept, 1u, 256u);
}

std::span<const Kernel> dropout_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const Shader& shader) {
        return Kernel{.op = "dropout",
                      .name = "plain",
                      .shader = &shader,
                      .requirements = {.invocations = dropout_invocations},
                      .constants = {dropout_invocations},
                      .bindings = {storage, storage, storage, storage, storage}};
    };
    static const Kernel fp32 = make(shaders::dropout_fp32), fp16 = make(shaders::dropout_fp16);
    return {type == Type::fp16 ? &fp16 : &fp32, 1};
}

void dropout(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input,
             const Dropout& dropout, const Tensor* residual) {
    const auto alike = [&](const Tensor& tensor) {
        return is_matrix4(tensor) && tensor.type == output.type && tensor.rows == output.rows &&
               tensor.columns == output.columns;
    };
    check(alike(output) && alike(input) && (residual == nullptr || alike(*residual)), label,
          "dropout: one type and one shape, columns and pitches that are multiples of 4");
    const uint32_t kept = dropout_kept(dropout, label);
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(dropout_kernels(input.type), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.constants = {kept, uint32_t(residual != nullptr)};
    dispatch.bindings = {{plan.counts()},
                         {input},
                         {residual != nullptr ? *residual : plan.counts()},
                         {kept < 256 ? dropout.state : plan.counts()},
                         {output, Access::write}};
    dispatch.set_push(DropoutPush{output.rows.capacity, output.rows.symbol, output.columns / 4,
                                  input.pitch / 4, output.pitch / 4,
                                  residual != nullptr ? residual->pitch / 4 : 0, dropout.site});
    const uint32_t blocks = (output.columns + 15) / 16;  // of a row, one invocation each
    dispatch.groups = {Groups{output.rows, dropout_invocations, blocks}, Groups{}, Groups{}};
    const double streams = residual != nullptr ? 3 : 2;
    dispatch.work = {.extent = output.rows, .bytes_per_row = streams * output.columns * size_of(output.type)};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
