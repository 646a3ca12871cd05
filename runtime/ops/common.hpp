// What the ops share: checks of shapes, and the variants of kernels that reduce over rows.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.hpp"
#include "runtime/plan.hpp"

namespace vkbert::ops {

/// Throws invalid_argument naming the label and saying what is expected, unless the condition holds.
inline void check(bool condition, const std::string& label, std::string_view what) {
    if (!condition) fail(ErrorCode::invalid_argument, "{}: expected {}", label, what);
}

/// fp32 or fp16, columns and pitch multiples of 4: what kernels read four elements at a time.
bool is_matrix4(const Tensor& tensor);
/// (1,columns) fp32.
bool is_vector(const Tensor& tensor, uint32_t columns);
/// (rows,1) of the type, without gaps.
bool is_column(const Tensor& tensor, Extent rows, Type type);

/// (1,words of TrainingScalars) uint32.
bool is_training_scalars(const Tensor& tensor);

/// Rows [first, first + count).
struct RowBlock {
    uint32_t first, count;
};
/// Cuts a tensor with a constant number of rows into blocks of at most `bytes` and at most `rows`, each at an
/// offset that every device can bind. One block when it fits as it is.
std::vector<RowBlock> row_blocks(const Tensor& tensor, uint64_t bytes, uint32_t rows);

/// The first variant that the device can run and whose texel buffers hold the tensors bound to it.
const Kernel& first_fitting(const Capabilities& capabilities, std::span<const Kernel> table,
                            const std::vector<Binding>& bindings);
/// The variants `texel` and `buffers`, for CPU drivers, and `plain`, of an op whose invocations are the first
/// of each one's constants. The latter two have one shader and storage buffers alone.
std::vector<Kernel> texel_and_plain_kernels(std::string_view op, const Shader& texel_shader,
                                            const std::vector<uint32_t>& cpu_constants,
                                            const Shader& plain_shader,
                                            const std::vector<uint32_t>& plain_constants,
                                            const std::vector<BindingKind>& texel_bindings);
/// `wide16`, `wide8` and `wide4`, for CPU drivers that load scalars through addresses, of a shader built with
/// -DWIDE (shaders/blocks.glsl): a workgroup is one subgroup.
std::vector<Kernel> wide_kernels(std::string_view op, const Shader& shader,
                                 const std::vector<BindingKind>& bindings);
/// `better` before `others`.
std::vector<Kernel> joined(std::vector<Kernel> better, std::vector<Kernel> others);

/// The builds of a shader that takes a row in steps of four columns, the second of its constants.
struct StepShaders {
    const Shader *wide, *texel, *plain;  // -DWIDE, -DTEXEL, neither
};
/// `wide16` to `wide4`, `texel`, `buffers16` to `buffers4`, for CPU drivers, and `plain`. A workgroup of the
/// former takes as many columns in all as one of `texel`, and but for that is one subgroup.
std::vector<Kernel> step_kernels(std::string_view op, const StepShaders& shaders,
                                 const std::vector<uint32_t>& texel_constants,
                                 const std::vector<uint32_t>& plain_constants,
                                 const std::vector<BindingKind>& wide_bindings,
                                 const std::vector<BindingKind>& texel_bindings);
/// forced_kernel() of an op whose table depends on the type of its operands; nullptr where only the other
/// type has a variant of that name, since in a pass with both it is the other's dispatches that are meant.
const Kernel* forced_of_type(std::span<const Kernel> (*kernels)(Type), Type type, const Capabilities&,
                             const KernelChoices& choices);
/// The one that the plan's tuning knows for operands of `type` and this shape, if its texel buffers hold the
/// tensors bound to it; else nullptr.
const Kernel* tuned_fitting(const Plan& plan, std::span<const Kernel> table,
                            const std::vector<Binding>& bindings, Type type, const TunedShape& shape);
/// The forced variant, or the one that the plan's tuning knows for operands of `type` and this shape, or the
/// first that the device can run; of the latter two, one whose texel buffers hold the tensors bound to it.
const Kernel& choose_fitting(const Plan& plan, std::span<const Kernel> table,
                             const std::vector<Binding>& bindings, Type type = Type::fp32,
                             const TunedShape& shape = {});

/// Rows of a batch so short that a CPU driver takes longer to compile the faster of two forms than to compute
/// with the other.
constexpr uint32_t short_batch = 64;
/// Whether a kernel with shaders/row_steps.glsl keeps a row of as many columns: on a CPU driver up to 48
/// steps, since LLVM takes seconds to compile more, of SwiftShader 16: 0.3 s forward and 0.5 s backward, of
/// 48 steps 2.5 and 10 s (`vkbert bench layernorm`).
bool keeps_row(const Capabilities& capabilities, const Kernel& kernel, uint32_t columns);
/// How many rows a workgroup of a kernel with shaders/row_steps.glsl goes over: on a CPU driver some, which
/// share what it costs to load the row that they have in common. LayerNorm of 1,024 rows on Mesa 26 with two
/// processors takes 0.22 ms with 16 rows, 0.20 with 64 and with 128.
uint32_t rows_of_workgroup(const Capabilities& capabilities, const Kernel& kernel, Extent rows);

/// The builds of a shader that includes shaders/reduce.glsl.
struct ReductionShaders {
    const Shader* subgroup;
    const Shader* shared;        // -DREDUCE_SHARED
    const Shader* one_subgroup;  // -DREDUCE_ONE_SUBGROUP; null for none
};
/// "lanes16", "lanes8" and "lanes4" (one subgroup, no barrier, for CPU
/// drivers), "subgroup" and "shared", best first, with one workgroup of `invocations` a row on GPUs.
std::vector<Kernel> reduction_kernels(std::string_view op, const ReductionShaders& shaders,
                                      uint32_t invocations, const std::vector<BindingKind>& bindings);
/// The same after "texel16", "texel8" and "texel4": the lane variants with another shader, whose bindings
/// these are. All others have storage buffers alone.
std::vector<Kernel> texel_reduction_kernels(std::string_view op, const ReductionShaders& shaders,
                                            const Shader& texel_shader, uint32_t invocations,
                                            const std::vector<BindingKind>& bindings);

}  // namespace vkbert::ops
