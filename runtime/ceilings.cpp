// What a device does at best: a copy through memory, and multiply-adds in registers.
#include <algorithm>
#include <chrono>
#include <functional>

#include "runtime/profiler.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/fma_peak.h"
}

VKBERT_DECLARE_SHADER(copy_peak)
VKBERT_DECLARE_SHADER(copy_peak_texel)
VKBERT_DECLARE_SHADER(fma_peak)

namespace vkbert {

namespace {

constexpr uint32_t local_size = 128;                   // every device has it
constexpr uint32_t group_floats = local_size * 8 * 4;  // of a copy
constexpr int repeats = 5;

Kernel peak_kernel(std::string_view op, std::string_view name, const Shader& shader,
                   std::vector<BindingKind> bindings) {
    Kernel kernel;
    kernel.op = op;
    kernel.name = name;
    kernel.shader = &shader;
    kernel.requirements.invocations = local_size;
    kernel.constants = {local_size};
    kernel.bindings = std::move(bindings);
    return kernel;
}

/// Seconds of the first dispatch of a run: by the device's clock where it has one.
double seconds_of_run(Recording& recording) {
    const auto start = std::chrono::steady_clock::now();
    recording.run();
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    const auto times = recording.times();
    return times.empty() || times[0].seconds <= 0 ? wall.count() : times[0].seconds;
}

double fastest(Recording& recording) {
    double best = seconds_of_run(recording);
    for (int i = 1; i < repeats; ++i) best = std::min(best, seconds_of_run(recording));
    return best;
}

Recording::Options profiled() {
    Recording::Options options;
    options.profile = true;
    return options;
}

double copy_bandwidth(Device& device, PipelineCache& pipelines, const Kernel& kernel) {
    const Capabilities& c = device.capabilities();
    const bool texel = kernel.bindings[1] == BindingKind::texel;
    uint64_t bytes = std::min<uint64_t>(c.max_storage_buffer_range, 64 << 20);
    if (texel) bytes = std::min<uint64_t>(bytes, uint64_t(c.max_texel_elements) * 16);
    const auto groups =
        static_cast<uint32_t>(std::clamp<uint64_t>(bytes / (group_floats * 4), 1, c.max_workgroup_count[0]));
    Plan plan(c);
    const Tensor from = plan.persistent("from", groups, group_floats),
                 to = plan.persistent("to", groups, group_floats);
    Dispatch d;
    d.kernel = &kernel;
    d.label = "copy";
    d.bindings = {{plan.counts(), Access::read}, {from, Access::read}, {to, Access::write}};
    d.groups[0].extent = groups;
    plan.append(d);
    plan.finish();
    Buffer source(device, from.bytes(), MemoryRole::device), target(device, to.bytes(), MemoryRole::device);
    Recording recording(device, pipelines, plan,
                        {{from.storage, {&source, 0, from.bytes()}}, {to.storage, {&target, 0, to.bytes()}}},
                        profiled());
    seconds_of_run(recording);  // touches the pages
    return double(from.bytes() + to.bytes()) / fastest(recording);
}

}  // namespace

double measure_copy_bandwidth(Device& device) {
    using enum BindingKind;
    PipelineCache pipelines(device);
    const Kernel plain = peak_kernel("copy", "storage", shaders::copy_peak, {storage, storage, storage});
    const Kernel texels = peak_kernel("copy", "texel", shaders::copy_peak_texel, {storage, texel, storage});
    double best = copy_bandwidth(device, pipelines, plain);
    const Capabilities& c = device.capabilities();
    if (c.device_class == DeviceClass::cpu &&
        !c.texel_kernels_broken)  // some load texels faster than vectors
        best = std::max(best, copy_bandwidth(device, pipelines, texels));
    return best;
}

double measure_fma_rate(Device& device) {
    using enum BindingKind;
    constexpr double flops_per_round = 2.0 * 12 * 16;  // of one invocation: see fma_peak.comp
    constexpr uint32_t most_rounds = 1 << 20;
    constexpr double long_enough = 0.02;
    const Capabilities& c = device.capabilities();
    const uint32_t groups = c.device_class == DeviceClass::cpu ? 64 : 8192;
    PipelineCache pipelines(device);
    const Kernel kernel = peak_kernel("fma", "peak", shaders::fma_peak, {storage, storage});
    Plan plan(c);
    const Extent rounds = plan.symbol("rounds", most_rounds);
    const Tensor result = plan.temporary("result", groups, local_size);
    Dispatch d;
    d.kernel = &kernel;
    d.label = "fma";
    d.bindings = {{plan.counts(), Access::read}, {result, Access::write}};
    d.set_push(FmaPeakPush{rounds.symbol, 0.5f, 1.0f});
    d.groups[0].extent = groups;
    plan.append(d);
    plan.finish();
    Recording recording(device, pipelines, plan, {}, profiled());
    uint32_t n = 1;
    for (recording.set(rounds, n); n < most_rounds && seconds_of_run(recording) < long_enough;) {
        n *= 2;
        recording.set(rounds, n);
    }
    return flops_per_round * n * groups * local_size / fastest(recording);
}

}  // namespace vkbert
