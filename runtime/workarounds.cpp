#include "runtime/workarounds.hpp"

#include <cctype>

namespace vkbert {

namespace {

// VkDriverId, spelt out because Debian 12's headers end before the last of them.
enum Driver : uint32_t {
    intel_windows = 5,
    qualcomm = 8,
    arm = 9,
    swiftshader = 10,
    llvmpipe = 13,
    moltenvk = 14,
    turnip = 18,
    panvk = 20,
    honeykrisp = 26,
};
constexpr uint32_t amd = 0x1002, intel = 0x8086, nvidia = 0x10DE;

/// Major version in "Mesa 26.1.6 (LLVM 19.1.7)"; 0 when the text has another form.
uint32_t mesa_major(std::string_view info) {
    constexpr std::string_view prefix = "Mesa ";
    if (!info.starts_with(prefix)) return 0;
    uint32_t major = 0;
    for (const char c : info.substr(prefix.size())) {
        if (!std::isdigit(static_cast<unsigned char>(c)) || major > 999) break;
        major = major * 10 + static_cast<uint32_t>(c - '0');
    }
    return major;
}

bool new_llvmpipe(const Capabilities& c) {
    return c.driver_id == llvmpipe && mesa_major(c.driver_info) >= 26;
}

void no_cooperative_matrix(Capabilities& c) {
    c.cooperative_matrix_broken = true;
}

constexpr Workaround all[] = {
    {"llvmpipe-scalar-pointer-loads",
     "llvmpipe of Mesa 26 finds out which addresses are the same for a whole workgroup and loads through "
     "them once; "
     "22.3 and 25.0 loop over the lanes (0.7 and 8 instead of 60 to 90 GFLOP/s; with texels 50 and 42).",
     new_llvmpipe, [](Capabilities& c) { c.scalar_pointer_loads = true; }},
    {"llvmpipe-buffer-loads",
     "llvmpipe of Mesa 26 loads storage buffers no slower than texels, 22.3 and 25.0 slower (`vkbert bench "
     "layernorm-backward`).",
     new_llvmpipe, [](Capabilities& c) { c.fast_buffer_loads = true; }},
    {"swiftshader-constants",
     "SwiftShader runs SPIRV-Tools' optimizer, which unrolls loops and takes arrays apart only where "
     "constants are no "
     "specialization constants (`vkbert bench layernorm`).",
     [](const Capabilities& c) { return c.driver_id == swiftshader; },
     [](Capabilities& c) { c.folds_constants = false; }},
    {"llvmpipe-texel-fetch",
     "llvmpipe of Mesa 26 with LP_NATIVE_VECTOR_WIDTH=512 returned wrong results from a texelFetch matmul "
     "(error 3e22) "
     "and crashed with 128; 256, its default, is right.",
     [](const Capabilities& c) { return new_llvmpipe(c) && c.subgroup_size != 8; },
     [](Capabilities& c) { c.texel_kernels_broken = true; }},
    {"llvmpipe-cooperative-matrix",
     "llvmpipe's cooperative matrices are made for subgroups of 8; with LP_NATIVE_VECTOR_WIDTH=512 they "
     "crashed.",
     [](const Capabilities& c) { return c.driver_id == llvmpipe && c.subgroup_size != 8; },
     no_cooperative_matrix},
    {"amd-cooperative-matrix",
     "AMD's own driver advertises cooperative matrices on GPUs without them, and emulates them slowly on "
     "RDNA2. RDNA3, "
     "the first with matrix cores, is also the first with mixed-sign packed dot products. "
     "https://github.com/ggml-org/llama.cpp/issues/10597",
     [](const Capabilities& c) { return c.vendor_id == amd && !c.mixed_sign_dot_product; },
     no_cooperative_matrix},
    {"intel-cooperative-matrix",
     "Intel GPUs before Xe2 (the first whose smallest subgroup is 16) got slower with cooperative matrices "
     "(A770), "
     "integrated ones with the Windows driver excepted. https://github.com/ggml-org/llama.cpp/pull/14001",
     [](const Capabilities& c) {
         const bool integrated_on_windows =
             c.driver_id == intel_windows && c.device_class == DeviceClass::integrated;
         return c.vendor_id == intel && c.min_subgroup_size < 16 && !integrated_on_windows;
     },
     no_cooperative_matrix},
    {"adreno-cooperative-matrix",
     "On Adreno, kernels with cooperative matrices exceed the driver's limits; ncnn leaves them off on all "
     "of them.",
     [](const Capabilities& c) { return c.driver_id == qualcomm || c.driver_id == turnip; },
     no_cooperative_matrix},
    {"honeykrisp-cooperative-matrix",
     "Honeykrisp emulates cooperative matrices: 12 times slower than scalar code. "
     "https://github.com/ggml-org/llama.cpp/pull/10982",
     [](const Capabilities& c) { return c.driver_id == honeykrisp; }, no_cooperative_matrix},
    {"moltenvk-cooperative-matrix",
     "MoltenVK cannot take the sizes of cooperative matrices from specialization constants, as our kernels "
     "do. "
     "https://github.com/KhronosGroup/MoltenVK/issues/2753",
     [](const Capabilities& c) { return c.driver_id == moltenvk; }, no_cooperative_matrix},
    {"moltenvk-amd-subgroups",
     "On AMD Macs subgroup arithmetic and shuffles give wrong results through MoltenVK. "
     "https://github.com/ggml-org/llama.cpp/issues/15846",
     [](const Capabilities& c) { return c.driver_id == moltenvk && c.vendor_id == amd; },
     [](Capabilities& c) { c.subgroup_arithmetic = c.subgroup_shuffle = false; }},
    {"turnip-full-subgroups",
     "Turnip crashes compiling pipelines that ask for full subgroups (seen by ncnn).",
     [](const Capabilities& c) { return c.driver_id == turnip; },
     [](Capabilities& c) { c.full_subgroups = false; }},
    {"adreno-fp16-arithmetic",
     "Old Adreno drivers that lack 16-bit storage compute fp16 wrongly (seen by ncnn).",
     [](const Capabilities& c) { return c.driver_id == qualcomm && !c.storage_16bit; },
     [](Capabilities& c) { c.fp16_arithmetic = false; }},
    {"nvidia-loops",
     "NVIDIA's GPUs issue one instruction a cycle to as many lanes as multiply since Ampere, and NVK of Mesa "
     "26.1.6 leaves "
     "the matmul's inner loop rolled: what the loop itself needs costs as much as products (tools/lab).",
     [](const Capabilities& c) { return c.vendor_id == nvidia; },
     [](Capabilities& c) { c.loops_take_turns = true; }},
    {"mali-registers",
     "Mali GPUs since Bifrost give a thread 64 registers, and no Vulkan query says so: PanVK of Mesa 25.0.7 "
     "(tools/lab) spills "
     "the larger matmul tiles and subgroup reductions of pairs.",
     [](const Capabilities& c) { return c.driver_id == arm || c.driver_id == panvk; },
     [](Capabilities& c) { c.registers = 64; }},
};

}  // namespace

std::span<const Workaround> workarounds() {
    return all;
}

void apply_workarounds(Capabilities& capabilities) {
    for (const Workaround& w : all)
        if (w.concerns(capabilities)) w.apply(capabilities);
}

}  // namespace vkbert
