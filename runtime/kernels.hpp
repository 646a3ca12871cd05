// Kernels: embedded SPIR-V, and the variants of an op as data. A variant is {name, requirements,
// specialization constants}; tables list variants best first and a pure function picks the first that the
// device can run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/capabilities.hpp"

namespace vkbert {

/// One SPIR-V module, embedded at build time (cmake/CompileShaders.cmake).
struct Shader {
    std::string_view name;
    std::span<const uint32_t> code;
};

/// Declares the shader that vkbert_shader(TARGET NAME ...) embeds.
#define VKBERT_DECLARE_SHADER(NAME)     \
    namespace vkbert::shaders {         \
    extern const ::vkbert::Shader NAME; \
    }

/// How a kernel sees a tensor.
enum class BindingKind : uint8_t {
    storage,  // storage buffer descriptor
    texel,    // uniform texel buffer, R32G32B32A32_SFLOAT (fp32 tensors) or R32G32_UINT (fp16 tensors, 4
              // elements a texel)
    address,  // 64-bit device address in the push constants, before the op's own
};

/// Cooperative matrices of subgroup scope, D(m,n) = A(m,k) B(k,n) + C(m,n), of fp16 operands and fp32 sums.
struct MatrixShape {
    uint32_t m = 0, n = 0, k = 0;  // 0: none are needed
};

/// What a variant needs beyond Vulkan 1.1 compute with storage buffers.
struct Requirements {
    uint32_t invocations = 1;        // per workgroup
    uint32_t shared_memory = 0;      // bytes
    uint32_t min_subgroup_size = 0;  // 0: uses no subgroup operations
    bool subgroup_arithmetic = false, subgroup_shuffle = false, subgroup_quad = false;
    bool buffer_device_address = false;  // with 64-bit integers
    bool scalar_pointer_loads = false;   // see Capabilities
    bool whole_vectors = false;  // shaders/blocks.glsl with -DWIDE: rows are whole blocks of all invocations
    bool keeps_rows = false;     // shaders/row_steps.glsl without a loop: rows are short (ops::keeps_row)
    bool texel_buffers = false;
    bool fp16_arithmetic = false;
    bool mixed_dot_product = false;  // see Capabilities
    bool cpu_only = false;  // shaped for CPU drivers; wrong choice, though not wrong results, elsewhere
    MatrixShape matrix{};
    bool matrix_per_element = false;  // see Capabilities
    uint32_t registers = 0;  // 32-bit ones an invocation keeps in use, 0: few; with fewer, results are right
                             // but the kernel spills to memory, so it is not chosen where others can do it
};

/// True when a device with these capabilities can run something that requires r (cpu_only and registers are
/// matters of choice: they do not make a kernel impossible). `why`, if given, receives the first thing that
/// is missing.
bool satisfies(const Capabilities& capabilities, const Requirements& r, std::string* why = nullptr);

/// False when something that requires r would spill on a device with these capabilities.
bool keeps_in_registers(const Capabilities& capabilities, const Requirements& r);

/// One variant of one op.
struct Kernel {
    std::string_view op;    // "matmul"
    std::string_view name;  // "tiled": unique within the op
    const Shader* shader = nullptr;
    Requirements requirements;
    std::vector<uint32_t>
        constants;  // tile sizes and the like: the first specialization constants, ids 0, 1, ...
    std::vector<BindingKind> bindings;    // kind of every binding slot, in the shader's order
    uint32_t required_subgroup_size = 0;  // 0: any
    bool stays_general = false;           // see folds_here()
};

/// Whether the specialization constants of a kernel are folded before the driver sees it
/// (runtime/specialization.hpp): where that does not fold them itself, unless the kernel's loops, once
/// unrolled, take such a driver longer to compile than they save.
bool folds_here(const Capabilities& capabilities, const Kernel& kernel);

/// Storage-buffer descriptors that the kernel binds.
uint32_t storage_buffers(const Kernel& kernel);

/// The same for a variant as a whole: its requirements, its storage buffers and its subgroup size.
bool satisfies(const Capabilities& capabilities, const Kernel& kernel, std::string* why = nullptr);

/// Names of variants that the user forces: {"matmul", "tiled"}. Ops not named choose by themselves.
using KernelChoices = std::map<std::string, std::string, std::less<>>;

/// The forced variant if `choices` names one for `op` (throws invalid_argument when there is no such variant,
/// and unsupported when the device cannot run it), else nullptr.
const Kernel* forced_kernel(std::span<const Kernel> table, const Capabilities&, const KernelChoices&);

/// The first variant of the table that the device can run, passing over cpu_only variants unless the device
/// is a CPU, those on matrix cores if it is, over those with texel buffers where buffers load as fast and a
/// later variant for CPUs can run, and over those that spill unless nothing else is left; or the forced one.
/// Throws unsupported when none fits.
const Kernel& choose_kernel(std::span<const Kernel> table, const Capabilities&, const KernelChoices&);

}  // namespace vkbert
