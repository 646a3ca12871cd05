#include <algorithm>
#include <utility>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
namespace vkbert {
#include "shaders/adamw.h"
#include "shaders/gradient_norm.h"
}  // namespace vkbert

VKBERT_DECLARE_SHADER(adamw)
VKBERT_DECLARE_SHADER(adamw_wide)
VKBERT_DECLARE_SHADER(gradient_norm)
VKBERT_DECLARE_SHADER(gradient_norm_shared)
VKBERT_DECLARE_SHADER(gradient_norm_one_subgroup)
VKBERT_DECLARE_SHADER(gradient_norm_texel)
VKBERT_DECLARE_SHADER(gradient_norm_wide)
VKBERT_DECLARE_SHADER(gradient_norm_finish)
VKBERT_DECLARE_SHADER(gradient_norm_finish_shared)
VKBERT_DECLARE_SHADER(gradient_norm_finish_one_subgroup)

namespace vkbert::ops {

// Elements of a gradient that one workgroup sums.
static constexpr uint32_t norm_block = 16384;

std::span<const Kernel> adamw_kernels() {
    using enum BindingKind;
    // A CPU driver takes long over each of the scalars, so an invocation does more for them there; with twice
    // as many invocations as it has lanes it takes up to twice as long (`vkbert bench adamw`).
    const auto make = [](std::string_view name, uint32_t invocations, uint32_t steps, uint32_t lanes) {
        return Kernel{
            .op = "adamw",
            .name = name,
            .shader = &shaders::adamw,
            .requirements = {.invocations = invocations, .min_subgroup_size = lanes, .cpu_only = lanes > 0},
            .constants = {invocations, steps},
            .bindings = std::vector<BindingKind>(7, storage)};
    };
    static const std::vector<Kernel> kernels = [&] {
        std::vector<Kernel> wide = wide_kernels(
            "adamw", shaders::adamw_wide, {storage, storage, address, address, address, address, address});
        for (Kernel& kernel : wide) kernel.constants.push_back(2048 / kernel.constants[0]);
        return joined(std::move(wide), {make("lanes16", 16, 128, 16), make("lanes8", 8, 256, 8),
                                        make("lanes4", 4, 512, 4), make("plain", 64, 4, 0)});
    }();
    return kernels;
}

std::span<const Kernel> gradient_norm_kernels() {
    using enum BindingKind;
    static const std::vector<Kernel> kernels = joined(
        wide_kernels("gradient_norm", shaders::gradient_norm_wide, {storage, address, storage, storage}),
        texel_reduction_kernels(
            "gradient_norm",
            {&shaders::gradient_norm, &shaders::gradient_norm_shared, &shaders::gradient_norm_one_subgroup},
            shaders::gradient_norm_texel, 128, {storage, texel, storage, storage}));
    return kernels;
}

std::span<const Kernel> gradient_norm_finish_kernels() {
    static const std::vector<Kernel> kernels =
        reduction_kernels("gradient_norm_finish",
                          {&shaders::gradient_norm_finish, &shaders::gradient_norm_finish_shared,
                           &shaders::gradient_norm_finish_one_subgroup},
                          128, std::vector<BindingKind>(3, BindingKind::storage));
    return kernels;
}

/// (1,N) of the type, N a multiple of 4.
static bool is_flat4(const Tensor& tensor, Type type) {
    return tensor.type == type && tensor.rows == Extent(1u) && tensor.columns % 4 == 0;
}

/// Cuts N elements of 4 bytes into slices that can be bound, at offsets that every device can bind, of at
/// most 128 MiB so that there are not too many workgroups.
static std::vector<RowBlock> slices(const Plan& plan, uint32_t elements) {
    constexpr uint64_t most_bytes = 128ull << 20;
    const uint64_t bytes = std::min(most_bytes, plan.capabilities().max_storage_buffer_range);
    const auto most = std::max(uint32_t(bytes / 4 / 256 * 256), 256u);
    std::vector<RowBlock> result;
    for (uint32_t first = 0; first < elements; first += most)
        result.push_back({first, std::min(most, elements - first)});
    return result;
}

static void append_finish(Plan& plan, const std::string& label, const Tensor& scalars,
                          const Tensor& partials) {
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(gradient_norm_finish_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {partials}, {scalars, Access::read_write}};
    dispatch.set_push(GradientNormFinishPush{partials.columns});
    dispatch.groups = {Groups{}, Groups{}, Groups{}};
    dispatch.work = {.flops = double(partials.columns), .bytes = 4.0 * partials.columns};
    plan.append(std::move(dispatch));
}

void gradient_norm(Plan& plan, const std::string& label, const Tensor& scalars,
                   const std::vector<Tensor>& gradients) {
    check(is_training_scalars(scalars), label, "gradient_norm: training scalars (1,32) uint32");
    check(!gradients.empty(), label, "gradient_norm: a gradient");
    std::vector<Tensor> ranges;
    uint64_t blocks = 0;
    for (const Tensor& gradient : gradients) {
        check(is_flat4(gradient, Type::fp32), label, "gradient_norm: (1,N) fp32, N a multiple of 4");
        for (const RowBlock& slice : slices(plan, gradient.columns)) {
            ranges.push_back(gradient.columns_at(slice.first, slice.count));
            blocks += Groups{slice.count, norm_block}.capacity();
        }
    }
    check(blocks < UINT32_MAX, label, "gradient_norm: fewer elements");
    const Tensor partials = plan.temporary(label + " partial sums", 1u, uint32_t(blocks), Type::uint32);
    uint32_t first_partial = 0;
    for (const Tensor& range : ranges) {
        Dispatch dispatch;
        dispatch.label = label;
        const Groups groups{range.columns, norm_block};
        dispatch.bindings = {{plan.counts()}, {range}, {scalars}, {partials, Access::write}};
        dispatch.kernel = &choose_fitting(plan, gradient_norm_kernels(), dispatch.bindings);
        dispatch.set_push(GradientNormPush{range.columns / 4, norm_block / 4, first_partial});
        dispatch.groups = {groups, Groups{}, Groups{}};
        dispatch.work = {.flops = 2.0 * range.columns, .bytes = 4.0 * range.columns};
        plan.append(std::move(dispatch));
        first_partial += groups.capacity();
    }
    append_finish(plan, label, scalars, partials);
}

void adamw(Plan& plan, const std::string& label, const Tensor& weights, const Tensor& gradient,
           const Tensor& first_moment, const Tensor& second_moment, const Tensor& scalars,
           const AdamWOptions& options) {
    check(is_training_scalars(scalars), label, "adamw: training scalars (1,32) uint32");
    for (const Tensor* tensor : {&weights, &gradient, &first_moment, &second_moment})
        check(is_flat4(*tensor, Type::fp32) && tensor->columns == weights.columns, label,
              "adamw: weights, gradient and moments (1,N) fp32, N a multiple of 4");
    const Tensor* halves = options.weights_fp16;
    check(halves == nullptr || (is_flat4(*halves, Type::fp16) && halves->columns == weights.columns), label,
          "adamw: an fp16 copy (1,N) of the weights");
    for (const RowBlock& slice : slices(plan, weights.columns)) {
        const auto part = [&](const Tensor& tensor) { return tensor.columns_at(slice.first, slice.count); };
        Dispatch dispatch;
        dispatch.label = label;
        dispatch.constants = {uint32_t(halves != nullptr)};
        dispatch.bindings = {{plan.counts()},
                             {scalars},
                             {part(weights), Access::read_write},
                             {part(gradient), Access::read_write},
                             {part(first_moment), Access::read_write},
                             {part(second_moment), Access::read_write},
                             {part(halves != nullptr ? *halves : weights), Access::write}};
        dispatch.kernel = &choose_fitting(plan, adamw_kernels(), dispatch.bindings);
        dispatch.set_push(
            AdamWPush{slice.count / 4, options.learning_rate_factor, options.decays ? 1.0f : 0.0f});
        const std::vector<uint32_t>& constants = dispatch.kernel->constants;
        dispatch.groups = {Groups{slice.count / 4, constants[0] * constants[1]}, Groups{}, Groups{}};
        dispatch.work = {.flops = 14.0 * slice.count, .bytes = 32.0 * slice.count};
        plan.append(std::move(dispatch));
    }
}

}  // namespace vkbert::ops
