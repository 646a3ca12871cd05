#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/transpose.h"
}

VKBERT_DECLARE_SHADER(transpose_fp32)
VKBERT_DECLARE_SHADER(transpose_fp16)

namespace vkbert::ops {

static constexpr uint32_t transpose_invocations = 8;

std::span<const Kernel> transpose_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const Shader& shader) {
        return Kernel{.op = "transpose",
                      .name = "plain",
                      .shader = &shader,
                      .requirements = {.invocations = transpose_invocations},
                      .constants = {transpose_invocations},
                      .bindings = {storage, storage, storage}};
    };
    static const Kernel fp32 = make(shaders::transpose_fp32), fp16 = make(shaders::transpose_fp16);
    return {type == Type::fp16 ? &fp16 : &fp32, 1};
}

void transpose(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input) {
    check(input.type != Type::uint32 && input.type == output.type, label,
          "transpose: one type, fp32 or fp16");
    check(input.pitch % 4 == 0 && output.pitch % 4 == 0, label, "transpose: pitches that are multiples of 4");
    check(output.rows.constant() && output.rows.capacity >= input.columns &&
              output.pitch >= input.rows.capacity,
          label, "transpose: output(N,T) of input(T,N)");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(transpose_kernels(input.type), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {input}, {output, Access::write}};
    dispatch.set_push(TransposePush{input.rows.capacity, input.rows.symbol, input.columns, input.pitch / 4,
                                    output.pitch / 4});
    dispatch.groups = {Groups{input.rows, 4 * TRANSPOSE_ROWS4},
                       Groups{input.columns, 4 * transpose_invocations}, Groups{}};
    dispatch.work = {.extent = input.rows, .bytes_per_row = 2.0 * input.columns * size_of(input.type)};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
