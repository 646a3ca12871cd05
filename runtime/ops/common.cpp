#include "runtime/ops/common.hpp"

#include <algorithm>
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

static bool fits(const Capabilities& capabilities, const Kernel& kernel,
                 const std::vector<Binding>& bindings) {
    for (size_t i = 0; i < bindings.size(); i++) {
        const Tensor& tensor = bindings[i].tensor;
        const uint64_t texels = (tensor.bytes() / size_of(tensor.type) + 3) / 4;
        if (kernel.bindings[i] == BindingKind::texel && texels > capabilities.max_texel_elements)
            return false;
    }
    return true;
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

std::vector<Kernel> texel_and_plain_kernels_in_steps(std::string_view op, const Shader& texel_shader,
                                                     const std::vector<uint32_t>& texel_constants,
                                                     const Shader& plain_shader,
                                                     const std::vector<uint32_t>& plain_constants,
                                                     const std::vector<BindingKind>& texel_bindings) {
    const std::vector<Kernel> all = texel_and_plain_kernels(op, texel_shader, texel_constants, plain_shader,
                                                            plain_constants, texel_bindings);
    std::vector<Kernel> kernels{all[0]};
    constexpr std::pair<uint32_t, std::string_view> widths[] = {
        {16, "buffers16"}, {8, "buffers8"}, {4, "buffers4"}};
    for (const auto& [lanes, name] : widths) {
        Kernel kernel = all[1];
        kernel.name = name;
        kernel.requirements.invocations = kernel.requirements.min_subgroup_size = lanes;
        kernel.constants = {lanes, texel_constants[0] * texel_constants[1] / lanes};
        kernels.push_back(std::move(kernel));
    }
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
    if (const Kernel* forced = forced_kernel(table, plan.capabilities(), plan.choices())) return *forced;
    if (const Kernel* tuned = tuned_fitting(plan, table, bindings, type, shape)) return *tuned;
    return first_fitting(plan.capabilities(), table, bindings);
}

std::vector<Kernel> reduction_kernels(std::string_view op, const ReductionShaders& shaders,
                                      uint32_t invocations, const std::vector<BindingKind>& bindings) {
    std::vector<Kernel> kernels;
    constexpr std::pair<uint32_t, std::string_view> lane_variants[] = {
        {16, "lanes16"}, {8, "lanes8"}, {4, "lanes4"}};
    for (const auto& [lanes, name] : lane_variants) {
        if (shaders.one_subgroup == nullptr) break;
        kernels.push_back({.op = op,
                           .name = name,
                           .shader = shaders.one_subgroup,
                           .requirements = {.invocations = lanes,
                                            .min_subgroup_size = lanes,
                                            .subgroup_arithmetic = true,
                                            .cpu_only = true},
                           .constants = {lanes},
                           .bindings = bindings});
    }
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
    const std::vector<Kernel> reductions = reduction_kernels(
        op, shaders, invocations, std::vector<BindingKind>(bindings.size(), BindingKind::storage));
    constexpr std::string_view names[] = {"texel16", "texel8", "texel4"};  // of lanes16, lanes8 and lanes4
    std::vector<Kernel> kernels;
    for (size_t i = 0; i < std::size(names); i++) {
        Kernel kernel = reductions[i];
        kernel.name = names[i];
        kernel.shader = &texel_shader;
        kernel.requirements.texel_buffers = true;
        kernel.bindings = bindings;
        kernels.push_back(std::move(kernel));
    }
    kernels.insert(kernels.end(), reductions.begin(), reductions.end());
    return kernels;
}

}  // namespace vkbert::ops
