#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/pool_forward.h"
}

VKBERT_DECLARE_SHADER(pool_forward_fp32)
VKBERT_DECLARE_SHADER(pool_forward_fp16)

namespace vkbert::ops {

static constexpr uint32_t pool_invocations = 64;

std::span<const Kernel> pool_forward_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const Shader& shader) {
        return Kernel{.op = "pool_forward",
                      .name = "plain",
                      .shader = &shader,
                      .requirements = {.invocations = pool_invocations},
                      .constants = {pool_invocations},
                      .bindings = {storage, storage, storage, storage}};
    };
    static const Kernel fp32 = make(shaders::pool_forward_fp32), fp16 = make(shaders::pool_forward_fp16);
    return {type == Type::fp16 ? &fp16 : &fp32, 1};
}

void pool_forward(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input,
                  const Tensor& offsets, Pooling pooling) {
    check(is_matrix4(input) && is_matrix4(output), label,
          "pool_forward: columns and pitches that are multiples of 4");
    check(output.type == Type::fp32 && output.columns == input.columns, label,
          "pool_forward: output fp32 of the input's columns");
    check(offsets.type == Type::uint32 && offsets.columns == 1 && offsets.pitch == 1 &&
              offsets.rows.capacity > output.rows.capacity,
          label, "pool_forward: offsets (S+1,1) uint32");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(pool_forward_kernels(input.type), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.constants = {uint32_t(pooling)};
    dispatch.bindings = {{plan.counts()}, {input}, {offsets}, {output, Access::write}};
    dispatch.set_push(PoolForwardPush{output.columns / 4, input.pitch / 4, output.pitch / 4});
    dispatch.groups = {Groups{output.rows}, Groups{output.columns / 4, pool_invocations}, Groups{}};
    const double read_rows = pooling == Pooling::first ? output.rows.capacity : input.rows.capacity;
    dispatch.work = {.extent = pooling == Pooling::first ? output.rows : input.rows,
                     .flops_per_row = double(input.columns),
                     .bytes_per_row = double(input.columns) *
                                      (size_of(input.type) + 4.0 * output.rows.capacity / read_rows)};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
