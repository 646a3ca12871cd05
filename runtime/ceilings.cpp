// What a device does at best: a copy through memory, and multiply-adds in registers.
#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "runtime/profiler.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/fma_peak.h"
}

VKBERT_DECLARE_SHADER(copy_peak)
VKBERT_DECLARE_SHADER(copy_peak_texel)
VKBERT_DECLARE_SHADER(copy_peak_wide)
VKBERT_DECLARE_SHADER(fma_peak)

namespace vkbert {

namespace {

constexpr uint32_t local_size = 128;                   // every device has it
constexpr uint32_t group_floats = local_size * 8 * 4;  // of a copy, whatever its workgroups
constexpr int repeats = 5;

Kernel peak_kernel(std::string_view op, std::string_view name, const Shader& shader,
                   std::vector<BindingKind> bindings, uint32_t invocations = local_size) {
    Kernel kernel;
    kernel.op = op;
    kernel.name = name;
    kernel.shader = &shader;
    kernel.requirements.invocations = invocations;
    kernel.constants = {invocations};
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

}  // namespace

/// One kernel that copies, its buffers and its recording.
class CopyTimer::Copy {
  public:
    Copy(Device& device, PipelineCache& pipelines, Kernel kernel)
        : kernel_(std::move(kernel)),
          groups_(groups_of(device.capabilities(), kernel_)),
          bytes_(uint64_t(groups_) * group_floats * 4),
          source_(device, bytes_ + Plan::read_slack, MemoryRole::device),
          target_(device, bytes_, MemoryRole::device),
          recording_(record(device, pipelines)) {
        seconds_of_run(*recording_);  // touches the pages
    }

    double run() { return 2.0 * double(bytes_) / seconds_of_run(*recording_); }

  private:
    static uint32_t groups_of(const Capabilities& c, const Kernel& kernel) {
        uint64_t bytes = std::min<uint64_t>(c.max_storage_buffer_range, 64 << 20);
        if (kernel.bindings[1] == BindingKind::texel)
            bytes = std::min<uint64_t>(bytes, uint64_t(c.max_texel_elements) * 16);
        return static_cast<uint32_t>(
            std::clamp<uint64_t>(bytes / (group_floats * 4), 1, c.max_workgroup_count[0]));
    }

    std::unique_ptr<Recording> record(Device& device, PipelineCache& pipelines) {
        Plan plan(device.capabilities());
        const Tensor from = plan.persistent("from", groups_, group_floats),
                     to = plan.persistent("to", groups_, group_floats);
        Dispatch d;
        d.kernel = &kernel_;
        d.label = "copy";
        d.bindings = {{plan.counts(), Access::read}, {from, Access::read}, {to, Access::write}};
        d.groups[0].extent = groups_;
        plan.append(d);
        plan.finish();
        const std::map<StorageId, BufferRange> bound{{from.storage, {&source_, 0, bytes_}},
                                                     {to.storage, {&target_, 0, bytes_}}};
        return std::make_unique<Recording>(device, pipelines, std::move(plan), bound, profiled());
    }

    const Kernel kernel_;
    const uint32_t groups_;
    const uint64_t bytes_;  // of each buffer
    Buffer source_, target_;
    std::unique_ptr<Recording> recording_;
};

CopyTimer::CopyTimer(Device& device) : pipelines_(std::make_unique<PipelineCache>(device)) {
    using enum BindingKind;
    const Capabilities& c = device.capabilities();
    const bool cpu = c.device_class == DeviceClass::cpu;
    double best = 0;
    const auto consider = [&](std::string_view name, const Shader& shader, BindingKind source,
                              uint32_t invocations) {
        Kernel kernel = peak_kernel("copy", name, shader, {storage, source, storage}, invocations);
        kernel.constants.push_back(group_floats / 4 / invocations);
        auto copy = std::make_unique<Copy>(device, *pipelines_, std::move(kernel));
        const double rate = std::max(copy->run(), copy->run());
        if (rate > best) best = rate, best_ = std::move(copy);
    };
    // CPU drivers: which is the fastest, by up to a factor of two, depends on the version and the width of
    // vectors.
    std::vector<uint32_t> sizes{local_size};
    if (cpu) sizes.insert(sizes.end(), {16, 8, 4});
    for (const uint32_t invocations : sizes) {
        consider("storage", shaders::copy_peak, storage, invocations);
        if (cpu && !c.texel_kernels_broken) consider("texel", shaders::copy_peak_texel, texel, invocations);
        if (c.scalar_pointer_loads && c.buffer_device_address && invocations == c.subgroup_size)
            consider("wide", shaders::copy_peak_wide, address, invocations);
    }
}

CopyTimer::~CopyTimer() = default;

double CopyTimer::run() {
    return best_->run();
}

double measure_copy_bandwidth(Device& device) {
    CopyTimer timer(device);
    double best = timer.run();
    for (int i = 1; i < repeats; ++i) best = std::max(best, timer.run());
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
