#include "runtime/kernels.hpp"

#include <algorithm>

#include "runtime/error.hpp"

namespace vkbert {

static std::string missing(const Capabilities& c, const MatrixShape& matrix) {
    if (matrix.m == 0) return "";
    if (!c.cooperative_matrix) return "needs cooperative matrices";
    if (c.cooperative_matrix_broken) return "needs cooperative matrices, which this driver gets wrong";
    const auto fits = [&](const CooperativeMatrixShape& s) {
        return s.m == matrix.m && s.n == matrix.n && s.k == matrix.k && s.a == "fp16" && s.b == "fp16" &&
               s.c == "fp32" && s.result == "fp32";
    };
    if (std::ranges::any_of(c.cooperative_matrix_shapes, fits)) return "";
    return fmt::format("needs cooperative matrices of {} x {} x {} with fp16 operands and fp32 sums",
                       matrix.m, matrix.n, matrix.k);
}

/// The first thing that a device lacks of what r needs; empty when it lacks nothing.
static std::string missing(const Capabilities& c, const Requirements& r) {
    if (r.invocations > c.max_invocations || r.invocations > c.max_workgroup_size[0])
        return fmt::format("needs {} invocations per workgroup, the device has {}", r.invocations,
                           std::min(c.max_invocations, c.max_workgroup_size[0]));
    if (r.shared_memory > c.max_shared_memory)
        return fmt::format("needs {} bytes of shared memory, the device has {}", r.shared_memory,
                           c.max_shared_memory);
    if (r.min_subgroup_size > 0 && !c.subgroup_basic) return "needs subgroup operations";
    if (r.min_subgroup_size > c.subgroup_size)
        return fmt::format("needs subgroups of {}, the device has {}", r.min_subgroup_size, c.subgroup_size);
    if (r.subgroup_arithmetic && !c.subgroup_arithmetic) return "needs subgroup arithmetic";
    if (r.subgroup_shuffle && !c.subgroup_shuffle) return "needs subgroup shuffles";
    if (r.subgroup_quad && !c.subgroup_quad) return "needs subgroup quad operations";
    if (r.buffer_device_address && !c.buffer_device_address) return "needs buffer device addresses";
    if (r.buffer_device_address && !c.int64) return "needs 64-bit integers";
    if (r.scalar_pointer_loads && !c.scalar_pointer_loads) return "needs scalar loads at uniform addresses";
    if (r.texel_buffers && c.texel_kernels_broken) return "needs texel buffers, which this driver gets wrong";
    if (r.fp16_arithmetic && !c.fp16_arithmetic) return "needs fp16 arithmetic";
    if (r.mixed_dot_product && !c.mixed_dot_product) return "needs dot products of fp16 with fp32 sums";
    if (r.matrix_per_element && !c.matrix_per_element) return "needs functions of matrix elements";
    return missing(c, r.matrix);
}

/// Whether nothing is missing; `why`, if given, receives what is.
static bool fits(std::string reason, std::string* why) {
    const bool nothing = reason.empty();
    if (why) *why = std::move(reason);
    return nothing;
}

bool satisfies(const Capabilities& capabilities, const Requirements& r, std::string* why) {
    return fits(missing(capabilities, r), why);
}

bool folds_here(const Capabilities& capabilities, const Kernel& kernel) {
    return !capabilities.folds_constants && !kernel.stays_general;
}

uint32_t storage_buffers(const Kernel& kernel) {
    return static_cast<uint32_t>(
        std::count(kernel.bindings.begin(), kernel.bindings.end(), BindingKind::storage));
}

bool keeps_in_registers(const Capabilities& capabilities, const Requirements& r) {
    return capabilities.registers == 0 || r.registers <= capabilities.registers;
}

static std::string missing(const Capabilities& c, const Kernel& kernel) {
    const uint32_t wanted = kernel.required_subgroup_size;
    const bool always = c.min_subgroup_size == wanted && c.max_subgroup_size == wanted;
    if (wanted > 0 && !always &&
        (!c.subgroup_size_control || wanted < c.min_subgroup_size || wanted > c.max_subgroup_size))
        return fmt::format("needs subgroups of exactly {}, which the device cannot be asked for", wanted);
    const uint32_t buffers = storage_buffers(kernel);
    if (buffers > c.max_storage_buffers)
        return fmt::format("needs {} storage buffers, the device has {}", buffers, c.max_storage_buffers);
    return missing(c, kernel.requirements);
}

bool satisfies(const Capabilities& capabilities, const Kernel& kernel, std::string* why) {
    return fits(missing(capabilities, kernel), why);
}

const Kernel* forced_kernel(std::span<const Kernel> table, const Capabilities& capabilities,
                            const KernelChoices& choices) {
    if (table.empty()) return nullptr;
    const std::string_view op = table.front().op;
    const auto choice = choices.find(op);
    if (choice == choices.end()) return nullptr;
    std::string names;
    for (const Kernel& kernel : table) {
        names += fmt::format("{}{}", names.empty() ? "" : ", ", kernel.name);
        if (kernel.name != choice->second) continue;
        const std::string reason = missing(capabilities, kernel);
        if (!reason.empty())
            fail(ErrorCode::unsupported, "kernel {}={} cannot run on {}: {}", op, kernel.name,
                 capabilities.device_name, reason);
        return &kernel;
    }
    fail(ErrorCode::invalid_argument, "no kernel {}={}: there are {}", op, choice->second, names);
}

const Kernel& choose_kernel(std::span<const Kernel> table, const Capabilities& capabilities,
                            const KernelChoices& choices) {
    if (const Kernel* forced = forced_kernel(table, capabilities, choices)) return *forced;
    std::string reasons;
    const Kernel *spilling = nullptr, *texel = nullptr;
    for (const Kernel& kernel : table) {
        std::string reason = missing(capabilities, kernel);
        if (reason.empty() && kernel.requirements.cpu_only && capabilities.device_class != DeviceClass::cpu)
            reason = "is for CPU drivers";
        if (reason.empty() && kernel.requirements.matrix.m != 0 &&
            capabilities.device_class == DeviceClass::cpu)
            reason = "is for GPUs: a CPU driver only imitates matrix cores";
        if (!reason.empty()) {
            reasons += fmt::format("; {} {}", kernel.name, reason);
        } else if (kernel.requirements.texel_buffers && capabilities.fast_buffer_loads) {
            if (texel == nullptr) texel = &kernel;
        } else if (texel != nullptr && !kernel.requirements.cpu_only) {
            break;
        } else if (keeps_in_registers(capabilities, kernel.requirements)) {
            return kernel;
        } else if (spilling == nullptr) {
            spilling = &kernel;
        }
    }
    if (texel != nullptr) return *texel;
    if (spilling != nullptr) return *spilling;
    fail(ErrorCode::unsupported, "no {} kernel for {}{}", table.empty() ? "such" : table.front().op,
         capabilities.device_name, reasons);
}

}  // namespace vkbert
