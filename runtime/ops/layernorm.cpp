#include <utility>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/layernorm_forward.h"
}

VKBERT_DECLARE_SHADER(layernorm_forward_fp32)
VKBERT_DECLARE_SHADER(layernorm_forward_fp16)
VKBERT_DECLARE_SHADER(layernorm_forward_shared_fp32)
VKBERT_DECLARE_SHADER(layernorm_forward_shared_fp16)
VKBERT_DECLARE_SHADER(layernorm_forward_one_subgroup_fp32)
VKBERT_DECLARE_SHADER(layernorm_forward_one_subgroup_fp16)
VKBERT_DECLARE_SHADER(layernorm_forward_wide_fp32)
VKBERT_DECLARE_SHADER(layernorm_forward_wide_fp16)
VKBERT_DECLARE_SHADER(layernorm_forward_texel_fp32)
VKBERT_DECLARE_SHADER(layernorm_forward_texel_fp16)

namespace vkbert::ops {
std::span<const Kernel> layernorm_forward_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const ReductionShaders& shaders, const Shader& wide_shader,
                         const Shader& texel_shader) {
        std::vector<Kernel> wide =
            wide_kernels("layernorm_forward", wide_shader,
                         {storage, address, address, address, address, storage, storage});
        for (Kernel& kernel : wide) kernel.requirements.keeps_rows = true;
        return joined(std::move(wide),
                      texel_reduction_kernels("layernorm_forward", shaders, texel_shader, 64,
                                              {storage, texel, texel, texel, storage, storage, storage}));
    };
    static const std::vector<Kernel> fp32 =
        make({&shaders::layernorm_forward_fp32, &shaders::layernorm_forward_shared_fp32,
              &shaders::layernorm_forward_one_subgroup_fp32},
             shaders::layernorm_forward_wide_fp32, shaders::layernorm_forward_texel_fp32);
    static const std::vector<Kernel> fp16 =
        make({&shaders::layernorm_forward_fp16, &shaders::layernorm_forward_shared_fp16,
              &shaders::layernorm_forward_one_subgroup_fp16},
             shaders::layernorm_forward_wide_fp16, shaders::layernorm_forward_texel_fp16);
    return type == Type::fp16 ? fp16 : fp32;
}

void layernorm_forward(Plan& plan, const std::string& label, const Tensor& output, const Tensor& input,
                       const Tensor& gamma, const Tensor& beta, const LayerNormOptions& options) {
    check(is_matrix4(input) && is_matrix4(output) && input.type == output.type, label,
          "layernorm_forward: one type, columns and pitches that are multiples of 4");
    check(input.rows == output.rows && input.columns == output.columns && input.columns <= 4096, label,
          "layernorm_forward: one shape of at most 4096 columns");
    check(is_vector(gamma, input.columns) && is_vector(beta, input.columns), label,
          "layernorm_forward: gamma and beta (1,H) fp32");
    check((options.mean == nullptr) == (options.rstd == nullptr), label,
          "layernorm_forward: both of mean and rstd, or neither");
    for (const Tensor* statistics : {options.mean, options.rstd})
        check(statistics == nullptr || is_column(*statistics, input.rows, Type::fp32), label,
              "layernorm_forward: mean and rstd (T,1) fp32");
    const bool keep = options.mean != nullptr;
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.constants = {input.columns / 4, uint32_t(keep)};
    const Binding none{plan.counts()};
    dispatch.bindings = {{plan.counts()},
                         {input},
                         {gamma},
                         {beta},
                         {output, Access::write},
                         keep ? Binding{*options.mean, Access::write} : none,
                         keep ? Binding{*options.rstd, Access::write} : none};
    dispatch.kernel = &choose_fitting(plan, layernorm_forward_kernels(input.type), dispatch.bindings,
                                      input.type, {.columns = input.columns, .rows = input.rows.capacity});
    const uint32_t block_rows = rows_of_workgroup(plan.capabilities(), *dispatch.kernel, input.rows);
    // A row that is not kept takes Mesa 22.3 33 ms to compile in place of 63 (`vkbert embed --profile`,
    // caches empty), but twice the time to run.
    const bool worth_compiling = !dispatch.kernel->requirements.cpu_only || input.rows.capacity > short_batch;
    dispatch.constants.push_back(worth_compiling &&
                                 keeps_row(plan.capabilities(), *dispatch.kernel, input.columns));
    dispatch.set_push(LayerNormForwardPush{input.rows.capacity, input.rows.symbol, block_rows,
                                           input.pitch / 4, output.pitch / 4, options.epsilon});
    dispatch.groups = {Groups{input.rows, block_rows}, Groups{}, Groups{}};
    dispatch.work = {.extent = input.rows,
                     .flops_per_row = 8.0 * input.columns,
                     .bytes_per_row = 2.0 * input.columns * size_of(input.type)};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
