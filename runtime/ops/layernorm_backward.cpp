#include <algorithm>
#include <utility>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/layernorm_backward.h"
#include "shaders/layernorm_backward_columns.h"
}  // namespace vkbert

VKBERT_DECLARE_SHADER(layernorm_backward_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_fp16)
VKBERT_DECLARE_SHADER(layernorm_backward_shared_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_shared_fp16)
VKBERT_DECLARE_SHADER(layernorm_backward_one_subgroup_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_one_subgroup_fp16)
VKBERT_DECLARE_SHADER(layernorm_backward_wide_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_wide_fp16)
VKBERT_DECLARE_SHADER(layernorm_backward_texel_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_texel_fp16)
VKBERT_DECLARE_SHADER(layernorm_backward_columns_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_columns_fp16)
VKBERT_DECLARE_SHADER(layernorm_backward_columns_texel_fp32)
VKBERT_DECLARE_SHADER(layernorm_backward_columns_texel_fp16)

namespace vkbert::ops {

std::span<const Kernel> layernorm_backward_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const ReductionShaders& shaders, const Shader& wide_shader,
                         const Shader& texel_shader) {
        std::vector<Kernel> wide =
            wide_kernels("layernorm_backward", wide_shader,
                         {storage, address, address, address, storage, storage, address, address, address});
        for (Kernel& kernel : wide) kernel.requirements.keeps_rows = true;
        std::vector<Kernel> others =
            texel_reduction_kernels("layernorm_backward", shaders, texel_shader, 64,
                                    {storage, texel, texel, texel, storage, storage, texel, storage});
        for (Kernel& kernel : others)  // CPU drivers' make the sums over columns, too
            if (kernel.requirements.cpu_only) kernel.bindings.push_back(storage);
        return joined(std::move(wide), std::move(others));
    };
    static const std::vector<Kernel> fp32 =
        make({&shaders::layernorm_backward_fp32, &shaders::layernorm_backward_shared_fp32,
              &shaders::layernorm_backward_one_subgroup_fp32},
             shaders::layernorm_backward_wide_fp32, shaders::layernorm_backward_texel_fp32);
    static const std::vector<Kernel> fp16 =
        make({&shaders::layernorm_backward_fp16, &shaders::layernorm_backward_shared_fp16,
              &shaders::layernorm_backward_one_subgroup_fp16},
             shaders::layernorm_backward_wide_fp16, shaders::layernorm_backward_texel_fp16);
    return type == Type::fp16 ? fp16 : fp32;
}

std::span<const Kernel> layernorm_backward_columns_kernels(Type type) {
    using enum BindingKind;
    const auto make = [](const Shader& shader, const Shader& texel_shader) {
        return texel_and_plain_kernels("layernorm_backward_columns", texel_shader, {16, 1}, shader, {64, 0},
                                       {storage, texel, texel, storage, storage, storage});
    };
    static const std::vector<Kernel> fp32 =
        make(shaders::layernorm_backward_columns_fp32, shaders::layernorm_backward_columns_texel_fp32);
    static const std::vector<Kernel> fp16 =
        make(shaders::layernorm_backward_columns_fp16, shaders::layernorm_backward_columns_texel_fp16);
    return type == Type::fp16 ? fp16 : fp32;
}

static Work row_work(const Tensor& x, double flops, double matrices) {
    return {.extent = x.rows,
            .flops_per_row = flops * x.columns,
            .bytes_per_row = matrices * x.columns * size_of(x.type)};
}

/// Columns of partial sums for each of d_gamma and d_beta: the second begins where every device can bind it,
/// at 256 bytes.
static uint32_t part_columns(const Tensor& x) {
    return (x.columns + 63) / 64 * 64;
}

/// Rows of a block of partial sums: 32, of a CPU driver up to 256, more where that would make over 64 blocks;
/// a multiple of 4. Not from a run's rows or a kernel, so that all on one machine add in one order.
static uint32_t block_rows_of(const Capabilities& c, Extent rows) {
    constexpr uint32_t least = 32, most_of_processor = 256, most_blocks = 64;
    const uint32_t of_processor =
        c.device_class == DeviceClass::cpu
            ? std::min(rows.capacity / (4 * c.processors), most_of_processor) / 4 * 4
            : 0;
    return std::max({least, of_processor, (rows.capacity / most_blocks + 4) / 4 * 4});
}

/// partials(b,2P), P = part_columns: the sums over block b of rows for d_gamma and d_beta.
static void append_columns(Plan& plan, const std::string& label, const Tensor& partials, uint32_t block_rows,
                           const Tensor& d_y, const Tensor& x, const Tensor& mean, const Tensor& rstd) {
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.constants = {x.columns / 4, block_rows};
    dispatch.bindings = {{plan.counts()}, {d_y}, {x}, {mean}, {rstd}, {partials, Access::write}};
    dispatch.kernel = &choose_fitting(plan, layernorm_backward_columns_kernels(x.type), dispatch.bindings);
    dispatch.set_push(LayerNormBackwardColumnsPush{x.rows.capacity, x.rows.symbol, part_columns(x) / 4,
                                                   d_y.pitch / 4, x.pitch / 4});
    dispatch.groups = {Groups{x.columns / 4, dispatch.kernel->constants[0]}, Groups{partials.rows}, Groups{}};
    dispatch.work = row_work(x, 5, 2);
    plan.append(std::move(dispatch));
}

/// d_gamma and d_beta from partials(b,2P): in one dispatch where they follow each other as in the partials,
/// which a model's gradients of a multiple of 64 columns do.
static void append_sums(Plan& plan, const std::string& label, const Tensor& d_gamma, const Tensor& d_beta,
                        const Tensor& partials) {
    const uint32_t columns = d_gamma.columns, beta_at = partials.columns / 2;
    if (columns == beta_at && d_beta.storage == d_gamma.storage &&
        d_beta.offset == d_gamma.offset + d_gamma.bytes()) {
        const Tensor both = Plan::tensor_at(d_gamma.storage, d_gamma.offset, 1u, 2 * columns, Type::fp32);
        return column_sums(plan, label + " gamma and beta", both, partials);
    }
    column_sums(plan, label + " gamma", d_gamma, partials.columns_at(0, columns));
    column_sums(plan, label + " beta", d_beta, partials.columns_at(beta_at, columns));
}

void layernorm_backward(Plan& plan, const std::string& label, const Tensor& d_x, const Tensor& d_gamma,
                        const Tensor& d_beta, const Tensor& d_y, const Tensor& x, const Tensor& gamma,
                        const Tensor& mean, const Tensor& rstd, const Tensor* d_x_residual) {
    const Tensor& residual = d_x_residual != nullptr ? *d_x_residual : d_y;
    for (const Tensor* matrix : {&d_x, &d_y, &x, &residual})
        check(is_matrix4(*matrix) && matrix->type == x.type && matrix->rows == x.rows &&
                  matrix->columns == x.columns && x.columns <= 4096,
              label,
              "layernorm_backward: one type, one shape of at most 4096 columns, columns and pitches that are "
              "multiples of 4");
    for (const Tensor* vector : {&gamma, &d_gamma, &d_beta})
        check(is_vector(*vector, x.columns), label, "layernorm_backward: gamma, d_gamma, d_beta (1,H) fp32");
    for (const Tensor* statistics : {&mean, &rstd})
        check(is_column(*statistics, x.rows, Type::fp32), label,
              "layernorm_backward: mean and rstd (T,1) fp32");
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.constants = {x.columns / 4, uint32_t(d_x_residual != nullptr)};
    const uint32_t block_rows = block_rows_of(plan.capabilities(), x.rows);
    const uint32_t blocks = (x.rows.capacity + block_rows - 1) / block_rows;
    const Tensor partials = plan.temporary(label + " partial sums", blocks, 2 * part_columns(x));
    dispatch.bindings = {
        {plan.counts()},          {d_y}, {x}, {gamma}, {mean}, {rstd}, {residual}, {d_x, Access::write},
        {partials, Access::write}};
    const Kernel& kernel = choose_fitting(plan, layernorm_backward_kernels(x.type), dispatch.bindings);
    dispatch.kernel = &kernel;
    const bool keeps = keeps_row(plan.capabilities(), kernel, x.columns),
               sums_columns = kernel.requirements.cpu_only && keeps;
    // Before d_x, which may take the place of d_y.
    if (!sums_columns) append_columns(plan, label, partials, block_rows, d_y, x, mean, rstd);
    dispatch.constants.push_back(keeps);
    dispatch.bindings.resize(kernel.bindings.size());  // GPUs' kernels have no partial sums
    const uint32_t rows = sums_columns ? block_rows : rows_of_workgroup(plan.capabilities(), kernel, x.rows);
    dispatch.set_push(LayerNormBackwardPush{x.rows.capacity, x.rows.symbol, rows, d_y.pitch / 4, x.pitch / 4,
                                            residual.pitch / 4, d_x.pitch / 4, part_columns(x) / 4});
    // Blocks without rows are zeroed.
    dispatch.groups = {sums_columns ? Groups{blocks} : Groups{x.rows, rows}, Groups{}, Groups{}};
    dispatch.work = row_work(x, sums_columns ? 17 : 12, d_x_residual != nullptr ? 4 : 3);
    plan.append(std::move(dispatch));
    append_sums(plan, label, d_gamma, d_beta, partials);
}

}  // namespace vkbert::ops
