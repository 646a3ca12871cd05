#include "runtime/ops/common.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "runtime/training_scalars.hpp"

namespace vkbert::ops {

bool is_matrix4(const Tensor& tensor) {
    return tensor.type != Type::uint32 && tensor.columns % 4 == 0 && tensor.pitch % 4 == 0;
}

bool is_vector(const Tensor& tensor, uint32_t columns) {
    return tensor.type == Type::fp32 && tensor.rows == Extent(1u) && tensor.columns == columns;
}

bool is_column(const Tensor& tensor, Extent rows, Type type) {
    return tensor.type == type && tensor.rows == rows && tensor.columns == 1 && tensor.pitch == 1;
}

bool is_training_scalars(const Tensor& tensor) {
    return tensor.type == Type::uint32 && tensor.rows == Extent(1u) &&
           tensor.columns == training_scalars_words;
}

std::vector<RowBlock> row_blocks(const Tensor& tensor, uint64_t bytes, uint32_t rows) {
    const uint64_t row_bytes = std::max<uint64_t>(uint64_t(tensor.pitch) * size_of(tensor.type), 1);
    const uint32_t all = tensor.rows.capacity;
    if (!tensor.rows.constant() || (tensor.bytes() <= bytes && all <= rows)) return {{0, all}};
    // Offsets of buffer bindings are multiples of at most 256 bytes, which 256 rows always are.
    const auto most = uint32_t(std::min<uint64_t>(bytes / row_bytes, rows) / 256 * 256);
    if (most == 0) return {{0, all}};  // Plan::append says what is too large
    std::vector<RowBlock> blocks;
    for (uint32_t first = 0; first < all; first += most)
        blocks.push_back({first, std::min(most, all - first)});
    return blocks;
}

/// Whether rows of what has an address are whole blocks of the kernel's, and the first of them, which are
/// kept, short enough; where it wants that.
static bool rows_fit(const Capabilities& capabilities, const Kernel& kernel,
                     const std::vector<Binding>& bindings) {
    const Requirements& r = kernel.requirements;
    bool kept = r.keeps_rows;
    for (size_t i = 0; i < std::min(bindings.size(), kernel.bindings.size()); i++) {
        const uint32_t columns = bindings[i].tensor.columns;
        if (kernel.bindings[i] != BindingKind::address) continue;
        if (r.whole_vectors && columns % (4 * r.invocations) != 0) return false;
        if (std::exchange(kept, false) && !keeps_row(capabilities, kernel, columns)) return false;
    }
    return true;
}

/// `bindings` may end early, and may have one that some variants do without.
static bool fits(const Capabilities& capabilities, const Kernel& kernel,
                 const std::vector<Binding>& bindings) {
    for (size_t i = 0; i < std::min(bindings.size(), kernel.bindings.size()); i++) {
        const Tensor& tensor = bindings[i].tensor;
        const uint64_t texels = (tensor.bytes() / size_of(tensor.type) + 3) / 4;
        if (kernel.bindings[i] == BindingKind::texel && texels > capabilities.max_texel_elements)
            return false;
    }
    return rows_fit(capabilities, kernel, bindings);
}

const Kernel& first_fitting(const Capabilities& capabilities, std::span<const Kernel> table,
                            const std::vector<Binding>& bindings) {
    while (true) {  // choose_kernel throws when nothing is left
        const Kernel& kernel = choose_kernel(table, capabilities, {});
        if (fits(capabilities, kernel, bindings)) return kernel;
        table = table.subspan(size_t(&kernel - table.data()) + 1);
    }
}

const Kernel* tuned_fitting(const Plan& plan, std::span<const Kernel> table,
                            const std::vector<Binding>& bindings, Type type, const TunedShape& shape) {
    const Kernel* const tuned = plan.tuning().find(table, plan.capabilities(), type, shape);
    return tuned != nullptr && fits(plan.capabilities(), *tuned, bindings) ? tuned : nullptr;
}

namespace {

constexpr std::array<uint32_t, 3> lane_counts{16, 8, 4};

/// A variant of each number of lanes: a workgroup is one subgroup of a CPU driver.
std::vector<Kernel> lane_kernels(std::string_view op, const std::array<std::string_view, 3>& names,
                                 const Shader& shader, const std::vector<BindingKind>& bindings) {
    std::vector<Kernel> kernels;
    for (size_t i = 0; i < names.size(); i++)
        kernels.push_back({.op = op,
                           .name = names[i],
                           .shader = &shader,
                           .requirements = {.invocations = lane_counts[i],
                                            .min_subgroup_size = lane_counts[i],
                                            .subgroup_arithmetic = true,
                                            .cpu_only = true},
                           .constants = {lane_counts[i]},
                           .bindings = bindings});
    return kernels;
}

}  // namespace

std::vector<Kernel> texel_and_plain_kernels(std::string_view op, const Shader& texel_shader,
                                            const std::vector<uint32_t>& cpu_constants,
                                            const Shader& plain_shader,
                                            const std::vector<uint32_t>& plain_constants,
                                            const std::vector<BindingKind>& texel_bindings) {
    const std::vector<BindingKind> buffers(texel_bindings.size(), BindingKind::storage);
    return {{.op = op,
             .name = "texel",
             .shader = &texel_shader,
             .requirements = {.invocations = cpu_constants[0], .texel_buffers = true, .cpu_only = true},
             .constants = cpu_constants,
             .bindings = texel_bindings},
            {.op = op,
             .name = "buffers",
             .shader = &plain_shader,
             .requirements = {.invocations = cpu_constants[0], .cpu_only = true},
             .constants = cpu_constants,
             .bindings = buffers},
            {.op = op,
             .name = "plain",
             .shader = &plain_shader,
             .requirements = {.invocations = plain_constants[0]},
             .constants = plain_constants,
             .bindings = buffers}};
}

std::vector<Kernel> wide_kernels(std::string_view op, const Shader& shader,
                                 const std::vector<BindingKind>& bindings) {
    std::vector<Kernel> kernels = lane_kernels(op, {"wide16", "wide8", "wide4"}, shader, bindings);
    for (Kernel& kernel : kernels) {
        kernel.requirements.buffer_device_address = true;
        kernel.requirements.scalar_pointer_loads = true;
        kernel.requirements.whole_vectors = true;
    }
    return kernels;
}

std::vector<Kernel> joined(std::vector<Kernel> better, std::vector<Kernel> others) {
    std::ranges::move(others, std::back_inserter(better));
    return better;
}

std::vector<Kernel> step_kernels(std::string_view op, const StepShaders& shaders,
                                 const std::vector<uint32_t>& texel_constants,
                                 const std::vector<uint32_t>& plain_constants,
                                 const std::vector<BindingKind>& wide_bindings,
                                 const std::vector<BindingKind>& texel_bindings) {
    const std::vector<Kernel> all = texel_and_plain_kernels(op, *shaders.texel, texel_constants,
                                                            *shaders.plain, plain_constants, texel_bindings);
    const auto with_steps = [&](std::vector<Kernel> kernels) {
        for (Kernel& kernel : kernels)
            kernel.constants.push_back(texel_constants[0] * texel_constants[1] / kernel.constants[0]);
        return kernels;
    };
    std::vector<Kernel> kernels = with_steps(wide_kernels(op, *shaders.wide, wide_bindings));
    kernels.push_back(all[0]);
    std::ranges::move(
        with_steps(lane_kernels(op, {"buffers16", "buffers8", "buffers4"}, *shaders.plain, all[1].bindings)),
        std::back_inserter(kernels));
    kernels.push_back(all[2]);
    return kernels;
}

const Kernel* forced_of_type(std::span<const Kernel> (*kernels)(Type), Type type,
                             const Capabilities& capabilities, const KernelChoices& choices) {
    const auto choice = choices.find(kernels(type).front().op);
    if (choice == choices.end()) return nullptr;
    const auto has = [&](Type t) {
        return std::ranges::find(kernels(t), choice->second, &Kernel::name) != kernels(t).end();
    };
    const Type other = type == Type::fp16 ? Type::fp32 : Type::fp16;
    if (!has(type) && has(other)) return nullptr;
    return forced_kernel(kernels(type), capabilities, choices);
}

const Kernel& choose_fitting(const Plan& plan, std::span<const Kernel> table,
                             const std::vector<Binding>& bindings, Type type, const TunedShape& shape) {
    const Kernel* const forced = forced_kernel(table, plan.capabilities(), plan.choices());
    if (forced != nullptr && rows_fit(plan.capabilities(), *forced, bindings)) return *forced;
    if (const Kernel* tuned = tuned_fitting(plan, table, bindings, type, shape)) return *tuned;
    return first_fitting(plan.capabilities(), table, bindings);
}

bool keeps_row(const Capabilities& capabilities, const Kernel& kernel, uint32_t columns) {
    const uint32_t steps = capabilities.folds_constants ? 48 : 16;
    const Requirements& r = kernel.requirements;
    return !r.cpu_only || columns / 4 <= steps * r.invocations;
}

uint32_t rows_of_workgroup(const Capabilities& capabilities, const Kernel& kernel, Extent rows) {
    // The bound is for runs with few of the rows that there may be.
    return kernel.requirements.cpu_only ? std::clamp(rows.capacity / (4 * capabilities.processors), 1u, 128u)
                                        : 1;
}

std::vector<Kernel> reduction_kernels(std::string_view op, const ReductionShaders& shaders,
                                      uint32_t invocations, const std::vector<BindingKind>& bindings) {
    std::vector<Kernel> kernels;
    if (shaders.one_subgroup != nullptr)
        std::ranges::move(lane_kernels(op, {"lanes16", "lanes8", "lanes4"}, *shaders.one_subgroup, bindings),
                          std::back_inserter(kernels));
    const uint32_t shared_bytes = invocations * 4;
    kernels.push_back({.op = op,
                       .name = "subgroup",
                       .shader = shaders.subgroup,
                       .requirements = {.invocations = invocations,
                                        .shared_memory = shared_bytes,
                                        .min_subgroup_size = 1,
                                        .subgroup_arithmetic = true},
                       .constants = {invocations},
                       .bindings = bindings});
    kernels.push_back({.op = op,
                       .name = "shared",
                       .shader = shaders.shared,
                       .requirements = {.invocations = invocations, .shared_memory = shared_bytes},
                       .constants = {invocations},
                       .bindings = bindings});
    return kernels;
}

std::vector<Kernel> texel_reduction_kernels(std::string_view op, const ReductionShaders& shaders,
                                            const Shader& texel_shader, uint32_t invocations,
                                            const std::vector<BindingKind>& bindings) {
    std::vector<Kernel> texels = lane_kernels(op, {"texel16", "texel8", "texel4"}, texel_shader, bindings);
    for (Kernel& kernel : texels) kernel.requirements.texel_buffers = true;
    return joined(std::move(texels),
                  reduction_kernels(op, shaders, invocations,
                                    std::vector<BindingKind>(bindings.size(), BindingKind::storage)));
}

}  // namespace vkbert::ops
