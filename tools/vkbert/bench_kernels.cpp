#include "tools/vkbert/bench_kernels.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>

#include "runtime/buffer.hpp"
#include "runtime/error.hpp"
#include "runtime/profiler.hpp"
#include "runtime/recording.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

namespace {

// A run repeats a short op until it takes about this long, so that submitting costs next to nothing of it.
constexpr double seconds_a_run = 2e-3;
constexpr uint32_t most_repeats = 256;

/// What the persistent tensors of a case hold, in one buffer each; all variants use the same.
class CaseMemory {
  public:
    CaseMemory(Device& device, const BenchScene& scene) {
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
    const std::map<StorageId, BufferRange>& bound() const { return bound_; }

  private:
    BufferRange add(Device& device, const BenchScene& scene, StorageId storage) {
        const uint64_t bytes = scene.plan.storages()[storage].bytes + Plan::read_slack;
        buffers_.push_back(std::make_unique<Buffer>(device, bytes, MemoryRole::device));
        return bound_[storage] = {buffers_.back().get(), 0, bytes};
    }
    /// fp32: between a half and one; fp16: between a quarter and one in either half of a word.
    static void fill(std::span<std::byte> target, Type type, uint64_t offset) {
        for (uint64_t i = 0; i + 4 <= target.size(); i += 4) {
            const auto mixed = static_cast<uint32_t>((offset + i) / 4) * 2654435761u;
            const uint32_t word =
                type == Type::fp16 ? 0x34003400u | (mixed >> 5 & 0x07ff07ffu) : 0x3f000000u | (mixed >> 9);
            std::memcpy(target.data() + i, &word, 4);
        }
    }
    std::vector<std::unique_ptr<Buffer>> buffers_;
    std::map<StorageId, BufferRange> bound_;
};

/// Of one call of the op.
struct Times {
    double median = 0, best = 0;
};

Times times_of(std::vector<double> seconds) {
    std::ranges::sort(seconds);
    return {seconds[seconds.size() / 2], seconds.front()};
}

/// One variant of a case, ready to run.
class BenchVariant {
  public:
    BenchVariant(Device& device, PipelineCache& pipelines, const BenchCase& c, const Kernel& kernel,
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
        recording_ = std::make_unique<Recording>(device, pipelines, scene.plan, memory.bound());
        recording_->run();  // some drivers compile at first use
        compile_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        while (seconds.size() < 3 && (seconds.empty() || seconds.back() < 10 * seconds_a_run)) run();
        repeats_ = static_cast<uint32_t>(
            std::clamp(seconds_a_run / times_of(seconds).best, 1.0, double(most_repeats)));
        seconds.clear(), processor_seconds.clear();
        if (repeats_ == 1) return;
        for (uint32_t i = 1; i < repeats_; ++i)
            for (const Dispatch& dispatch : scene.plan.dispatches()) repeated.append(dispatch);
        repeated.finish();
        recording_ = std::make_unique<Recording>(device, pipelines, std::move(repeated), memory.bound());
        recording_->run();
    }

    void run() {
        const auto begin = std::chrono::steady_clock::now();
        const std::clock_t busy = std::clock();
        recording_->run();
        processor_seconds.push_back(double(std::clock() - busy) / CLOCKS_PER_SEC / repeats_);
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
        seconds.push_back(time.count() / repeats_);
    }

    std::string name;
    double flops = 0, bytes = 0, compile_seconds = 0;
    std::vector<double> seconds, processor_seconds;  // of one call, each run

  private:
    uint32_t repeats_ = 1;
    std::unique_ptr<Recording> recording_;
};

class KernelBench {
  public:
    KernelBench(const GlobalOptions& global, const KernelBenchOptions& options)
        : global_(global),
          options_(options),
          forced_(parse_kernel_choices(global.kernels)),
          cases_(find_bench_kernel(options.kernel).cases(options.shapes)),
          device_(open_device(global, "")),  // no cache: how long compiling takes is part of the result
          cpu_(device_->capabilities().device_class == DeviceClass::cpu) {
        for (const auto& choice : forced_)
            if (std::ranges::none_of(cases_, [&](const BenchCase& c) { return c.op() == choice.first; }))
                fail(ErrorCode::invalid_argument, "--kernel: {}={} says nothing about {}", choice.first,
                     choice.second, cases_.front().op());
    }

    void run() {
        const Capabilities& c = device_->capabilities();
        copy_ = measure_copy_bandwidth(*device_);
        if (!options_.json)
            output_.write(fmt::format(
                "{}, {} {}; copies run at {:.4g} GB/s; median of {}, * marks what vkbert chooses\n"
                "{:18}{:>10}{:>10}{:>10}{:>9}{:>7}{:>12}{}\n",
                c.device_name, c.driver_name, c.driver_info, copy_ * 1e-9, options_.repeat, "", "ms", "best",
                "GFLOP/s", "GB/s", "copy", "compile ms", cpu_ ? "  processor ms" : ""));
        for (const BenchCase& bench_case : cases_) {
            measure(bench_case);
            output_.flush();
        }
        output_.finish();
    }

  private:
    /// Those that the device can run, or the one that --kernel names.
    std::vector<const Kernel*> kernels_of(const BenchCase& c) const {
        if (const Kernel* forced = forced_kernel(c.variants, device_->capabilities(), forced_))
            return {forced};
        std::vector<const Kernel*> kernels;
        for (const Kernel& kernel : c.variants)
            if (satisfies(device_->capabilities(), kernel)) kernels.push_back(&kernel);
        return kernels;
    }

    void measure(const BenchCase& c) {
        BenchScene scene(device_->capabilities(), {});
        c.append(scene);
        const std::string_view chosen =
            std::ranges::find(scene.plan.dispatches(), c.op(), [](const Dispatch& d) {
                return d.kernel->op;
            })->kernel->name;
        const CaseMemory memory(*device_, scene);
        const std::vector<const Kernel*> kernels = kernels_of(c);
        PipelineCache pipelines(
            *device_);  // each case's own, or the next one's would seem to compile at once
        std::vector<std::unique_ptr<BenchVariant>> variants;
        for (const Kernel* kernel : kernels) try {
                variants.push_back(std::make_unique<BenchVariant>(*device_, pipelines, c, *kernel, memory));
            } catch (const Error& e) {
                // Tensors too large for a variant here, or shapes that it is not made for.
                const bool shape =
                    e.code() == ErrorCode::unsupported || e.code() == ErrorCode::invalid_argument;
                if (!shape || kernels.size() == 1) throw;
                message(global_, fmt::format("{} {} passed over: {}", c.op(), kernel->name, e.what()));
            }
        for (uint32_t round = 0; round < options_.repeat; ++round)
            for (const auto& variant : variants) variant->run();
        if (options_.json) {
            for (const auto& variant : variants) write_json(c, *variant, variant->name == chosen);
            return;
        }
        output_.write(fmt::format("{} {}, {}\n", c.op(), name_of(c.type), c.title));
        for (const auto& variant : variants) write_text(*variant, variant->name == chosen);
    }

    void write_json(const BenchCase& c, const BenchVariant& v, bool chosen) {
        const Times time = times_of(v.seconds);
        JsonLine line;
        line.field("op", c.op()).field("case", c.title).field("type", name_of(c.type));
        line.field("variant", v.name).field("chosen", chosen);
        line.field("milliseconds", time.median * 1e3).field("best_milliseconds", time.best * 1e3);
        if (cpu_) line.field("processor_milliseconds", times_of(v.processor_seconds).median * 1e3);
        if (v.flops > 0) line.field("gflops", v.flops / time.median * 1e-9);
        if (v.bytes > 0) line.field("gigabytes_per_second", v.bytes / time.median * 1e-9);
        line.field("copy_bytes_per_second", copy_).field("compile_seconds", v.compile_seconds);
        output_.line(line);
    }

    void write_text(const BenchVariant& v, bool chosen) {
        const Times time = times_of(v.seconds);
        const auto rate = [&](double work) {
            return work > 0 ? fmt::format("{:.2f}", work / time.median * 1e-9) : "-";
        };
        std::string text =
            fmt::format("{} {:<16}{:>10.3f}{:>10.3f}{:>10}{:>9}{:>6.0f}%{:>12.1f}", chosen ? '*' : ' ',
                        v.name, time.median * 1e3, time.best * 1e3, rate(v.flops), rate(v.bytes),
                        100 * v.bytes / time.median / copy_, v.compile_seconds * 1e3);
        if (cpu_) text += fmt::format("{:>14.3f}", times_of(v.processor_seconds).median * 1e3);
        output_.write(text + '\n');
    }

    const GlobalOptions& global_;
    const KernelBenchOptions& options_;
    const KernelChoices forced_;
    const std::vector<BenchCase> cases_;
    const std::unique_ptr<Device> device_;
    const bool cpu_;   // then what a busy machine does not change is told too: the processor's time
    double copy_ = 0;  // bytes a second
    ResultWriter output_;
};

}  // namespace

void bench_kernel(const GlobalOptions& global, const KernelBenchOptions& options) {
    KernelBench(global, options).run();
}

}  // namespace vkbert::tools
