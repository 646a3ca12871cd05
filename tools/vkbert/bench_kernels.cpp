#include "tools/vkbert/bench_kernels.hpp"

#include <algorithm>
#include <memory>

#include "runtime/error.hpp"
#include "runtime/profiler.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/kernel_timing.hpp"
#include "tools/vkbert/output.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

namespace {

class KernelBench {
  public:
    KernelBench(const GlobalOptions& global, const KernelBenchOptions& options)
        : global_(global),
          options_(options),
          forced_(parse_kernel_choices(global.kernels)),
          cases_(find_bench_kernel(options.kernel).cases(options.shapes)),
          device_(open_device(global, "")),  // no cache: how long compiling takes is part of the result
          tuning_(stored_tuning(global, device_->capabilities())),
          cpu_(device_->capabilities().device_class == DeviceClass::cpu) {
        for (const auto& choice : forced_)
            if (std::ranges::none_of(cases_, [&](const BenchCase& c) { return c.op() == choice.first; }))
                fail(ErrorCode::invalid_argument, "--kernel: {}={} says nothing about {}", choice.first,
                     choice.second, cases_.front().op());
    }

    void run() {
        const Capabilities& c = device_->capabilities();
        if (!options_.json)
            output_.write(
                fmt::format("{}, {} {}; medians of {}, * marks what vkbert chooses\n"
                            "{:18}{:>10}{:>10}{:>10}{:>9}{:>7}{:>12}{}\n",
                            c.device_name, c.driver_name, c.driver_info, options_.repeat, "", "ms", "best",
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
        BenchScene scene(device_->capabilities(), {}, tuning_);
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
        CopyTimer copy(*device_);
        std::vector<double> copies;  // bytes a second
        // Before and after, not in between: a copy empties the caches.
        const auto time_copies = [&] {
            for (int i = 0; i < 4; ++i) copies.push_back(copy.run());
        };
        time_copies();
        for (uint32_t round = 0; round < options_.repeat; ++round)
            for (const auto& variant : variants) variant->run();
        time_copies();
        std::ranges::sort(copies);
        copy_ = copies[copies.size() / 2], best_copy_ = copies.back();
        if (options_.json) {
            for (const auto& variant : variants) write_json(c, *variant, variant->name == chosen);
            return;
        }
        output_.write(fmt::format("{} {}, {}; copies run at {:.4g} GB/s\n", c.op(), name_of(c.type), c.title,
                                  copy_ * 1e-9));
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
        line.field("copy_bytes_per_second", copy_).field("best_copy_bytes_per_second", best_copy_);
        line.field("compile_seconds", v.compile_seconds);
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
    const Tuning tuning_;
    const bool cpu_;  // then what a busy machine does not change is told too: the processor's time
    double copy_ = 0, best_copy_ = 0;  // bytes a second, beside the variants of a case
    ResultWriter output_;
};

}  // namespace

void bench_kernel(const GlobalOptions& global, const KernelBenchOptions& options) {
    KernelBench(global, options).run();
}

}  // namespace vkbert::tools
