#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/cross_entropy.h"
#include "shaders/mean_squared_error.h"
}  // namespace vkbert

VKBERT_DECLARE_SHADER(cross_entropy)
VKBERT_DECLARE_SHADER(cross_entropy_shared)
VKBERT_DECLARE_SHADER(cross_entropy_one_subgroup)
VKBERT_DECLARE_SHADER(segment_cross_entropy)
VKBERT_DECLARE_SHADER(segment_cross_entropy_shared)
VKBERT_DECLARE_SHADER(segment_cross_entropy_one_subgroup)
VKBERT_DECLARE_SHADER(mean_squared_error)

namespace vkbert::ops {

static constexpr uint32_t mean_squared_error_invocations = 64;

std::span<const Kernel> cross_entropy_kernels() {
    static const std::vector<Kernel> kernels = reduction_kernels(
        "cross_entropy",
        {&shaders::cross_entropy, &shaders::cross_entropy_shared, &shaders::cross_entropy_one_subgroup}, 128,
        std::vector<BindingKind>(6, BindingKind::storage));
    return kernels;
}

std::span<const Kernel> segment_cross_entropy_kernels() {
    static const std::vector<Kernel> kernels =
        reduction_kernels("segment_cross_entropy",
                          {&shaders::segment_cross_entropy, &shaders::segment_cross_entropy_shared,
                           &shaders::segment_cross_entropy_one_subgroup},
                          64, std::vector<BindingKind>(7, BindingKind::storage));
    return kernels;
}

std::span<const Kernel> mean_squared_error_kernels() {
    static const Kernel kernel{.op = "mean_squared_error",
                               .name = "plain",
                               .shader = &shaders::mean_squared_error,
                               .requirements = {.invocations = mean_squared_error_invocations},
                               .constants = {mean_squared_error_invocations},
                               .bindings = std::vector<BindingKind>(6, BindingKind::storage)};
    return {&kernel, 1};
}

static void check_scalars(const std::string& label, const Tensor& scalars, uint32_t loss_index) {
    check(is_training_scalars(scalars), label, "training scalars (1,32) uint32");
    check(loss_index < TRAINING_SCALARS_LOSSES, label, "a loss index below 4");
}

static CrossEntropyPush cross_entropy_push(const Tensor& loss, const Tensor& d_logits, const Tensor& logits,
                                           const Tensor& labels, uint32_t loss_index) {
    return {logits.columns, logits.pitch, d_logits.pitch, labels.pitch, loss.pitch, loss_index};
}

void cross_entropy(Plan& plan, const std::string& label, const Tensor& loss, const Tensor& d_logits,
                   const Tensor& logits, const Tensor& labels, const Tensor& scalars, uint32_t loss_index) {
    check(logits.type == Type::fp32 && d_logits.type == Type::fp32 && logits.rows == d_logits.rows &&
              logits.columns == d_logits.columns && logits.columns <= max_classes,
          label, "cross_entropy: logits and d_logits (R,C) fp32, C at most 120,000");
    check(is_column(labels, logits.rows, Type::uint32) && is_column(loss, logits.rows, Type::fp32), label,
          "cross_entropy: labels (R,1) uint32, loss (R,1) fp32");
    check_scalars(label, scalars, loss_index);
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(cross_entropy_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()},          {logits}, {labels}, {scalars}, {loss, Access::write},
                         {d_logits, Access::write}};
    dispatch.set_push(cross_entropy_push(loss, d_logits, logits, labels, loss_index));
    dispatch.groups = {Groups{logits.rows}, Groups{}, Groups{}};
    dispatch.work = {.extent = logits.rows,
                     .flops_per_row = 10.0 * logits.columns,
                     .bytes_per_row = 12.0 * logits.columns};
    plan.append(std::move(dispatch));
}

void segment_cross_entropy(Plan& plan, const std::string& label, const Tensor& loss, const Tensor& d_logits,
                           const Tensor& logits, const Tensor& offsets, const Tensor& labels,
                           const Tensor& scalars, uint32_t loss_index) {
    check(logits.type == Type::fp32 && d_logits.type == Type::fp32 && logits.rows == d_logits.rows &&
              logits.columns == d_logits.columns,
          label, "segment_cross_entropy: logits and d_logits (T,C) fp32");
    check(labels.type == Type::uint32 && loss.type == Type::fp32 && labels.rows == loss.rows &&
              labels.columns == logits.columns && loss.columns == logits.columns,
          label, "segment_cross_entropy: labels (S,C) uint32, loss (S,C) fp32");
    check(offsets.type == Type::uint32 && offsets.columns == 1 && offsets.pitch == 1 &&
              offsets.rows.capacity > loss.rows.capacity,
          label, "segment_cross_entropy: offsets (S+1,1) uint32");
    check_scalars(label, scalars, loss_index);
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(segment_cross_entropy_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()},           {logits}, {labels}, {scalars}, {loss, Access::write},
                         {d_logits, Access::write}, {offsets}};
    dispatch.set_push(cross_entropy_push(loss, d_logits, logits, labels, loss_index));
    dispatch.groups = {Groups{loss.rows}, Groups{loss.columns}, Groups{}};
    dispatch.work = {.extent = logits.rows,
                     .flops_per_row = 10.0 * logits.columns,
                     .bytes_per_row = 12.0 * logits.columns};
    plan.append(std::move(dispatch));
}

void mean_squared_error(Plan& plan, const std::string& label, const Tensor& loss, const Tensor& d_predictions,
                        const Tensor& predictions, const Tensor& targets, const Tensor& scalars,
                        uint32_t loss_index) {
    for (const Tensor* column : {&loss, &targets})
        check(is_column(*column, predictions.rows, Type::fp32), label, "mean_squared_error: (R,1) fp32");
    for (const Tensor* column : {&predictions, &d_predictions})
        check(column->rows == predictions.rows && column->columns == 1 && column->type == Type::fp32, label,
              "mean_squared_error: predictions and their gradient (R,1) fp32");
    check_scalars(label, scalars, loss_index);
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(mean_squared_error_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {predictions},         {targets},
                         {scalars},       {loss, Access::write}, {d_predictions, Access::write}};
    dispatch.set_push(MeanSquaredErrorPush{predictions.rows.capacity, predictions.rows.symbol,
                                           predictions.pitch, d_predictions.pitch, loss_index});
    dispatch.groups = {Groups{predictions.rows, mean_squared_error_invocations}, Groups{}, Groups{}};
    dispatch.work = {.extent = predictions.rows, .flops_per_row = 5, .bytes_per_row = 16};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
