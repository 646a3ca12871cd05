#include "tools/vkbert/kernel_timing.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>

#include "runtime/error.hpp"

namespace vkbert::tools {

namespace {

// A run repeats a short op until it takes about this long, so that submitting costs next to nothing of it.
constexpr double seconds_a_run = 2e-3;
constexpr uint32_t most_repeats = 256;

/// fp32: between a half and one; fp16: between a quarter and one in either half of a word.
void fill(std::span<std::byte> target, Type type, uint64_t offset) {
    for (uint64_t i = 0; i + 4 <= target.size(); i += 4) {
        const auto mixed = static_cast<uint32_t>((offset + i) / 4) * 2654435761u;
        const uint32_t word =
            type == Type::fp16 ? 0x34003400u | (mixed >> 5 & 0x07ff07ffu) : 0x3f000000u | (mixed >> 9);
        std::memcpy(target.data() + i, &word, 4);
    }
}

}  // namespace

CaseMemory::CaseMemory(Device& device, const BenchScene& scene) {
    Uploader uploader(device);
    for (const auto& [storage, words] : scene.tables)
        uploader.upload(add(device, scene, storage), 0, std::as_bytes(std::span(words)));
    for (const auto& [storage, type] : scene.matrices) {
        const BufferRange range = add(device, scene, storage);
        for (uint64_t at = 0; at < range.bytes; at += uploader.slot_bytes()) {
            const uint64_t bytes = std::min(uploader.slot_bytes(), range.bytes - at);
            fill(uploader.begin(range, at, bytes), type, at);
            uploader.commit();
        }
    }
    uploader.finish();
}

BufferRange CaseMemory::add(Device& device, const BenchScene& scene, StorageId storage) {
    const uint64_t bytes = scene.plan.storages()[storage].bytes + Plan::read_slack;
    buffers_.push_back(std::make_unique<Buffer>(device, bytes, MemoryRole::device));
    return bound_[storage] = {buffers_.back().get(), 0, bytes};
}

Times times_of(std::vector<double> seconds) {
    std::ranges::sort(seconds);
    return {seconds[seconds.size() / 2], seconds.front()};
}

BenchVariant::BenchVariant(Device& device, PipelineCache& pipelines, const BenchCase& c, const Kernel& kernel,
                           const CaseMemory& memory)
    : name(kernel.name) {
    BenchScene scene(device.capabilities(), {{std::string(kernel.op), name}});
    c.append(scene);
    if (std::ranges::none_of(scene.plan.dispatches(), [&](const Dispatch& d) {
            return d.kernel->op == kernel.op && d.kernel->name == name;
        }))
        fail(ErrorCode::unsupported, "{}={} is not made for {}", kernel.op, name, c.title);
    for (const Dispatch& d : scene.plan.dispatches()) {
        flops += d.work.flops + d.work.flops_per_row * d.work.extent.capacity;
        bytes += d.work.bytes + d.work.bytes_per_row * d.work.extent.capacity;
    }
    Plan repeated = scene.plan;
    scene.plan.finish();
    const auto begin = std::chrono::steady_clock::now();
    const auto record = [&](Plan plan) {
        recording_ = std::make_unique<Recording>(device, pipelines, std::move(plan), memory.bound());
        for (const auto& [extent, value] : scene.extents) recording_->set(extent, value);
        recording_->run();  // some drivers compile at first use
    };
    record(scene.plan);
    compile_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    while (seconds.size() < 3 && (seconds.empty() || seconds.back() < 10 * seconds_a_run)) run();
    first_seconds = times_of(seconds).best, first_processor_seconds = times_of(processor_seconds).best;
    repeats_ = static_cast<uint32_t>(std::clamp(seconds_a_run / first_seconds, 1.0, double(most_repeats)));
    seconds.clear(), processor_seconds.clear();
    if (repeats_ == 1) return;
    for (uint32_t i = 1; i < repeats_; ++i)
        for (const Dispatch& dispatch : scene.plan.dispatches()) repeated.append(dispatch);
    repeated.finish();
    record(std::move(repeated));
}

void BenchVariant::run() {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t busy = std::clock();
    recording_->run();
    processor_seconds.push_back(double(std::clock() - busy) / CLOCKS_PER_SEC / repeats_);
    run_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    seconds.push_back(run_seconds / repeats_);
}

}  // namespace vkbert::tools
