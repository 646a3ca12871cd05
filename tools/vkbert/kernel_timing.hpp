// Single kernels, timed: what `vkbert bench KERNEL` and `vkbert tune` share.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/buffer.hpp"
#include "runtime/recording.hpp"
#include "tools/vkbert/bench_cases.hpp"

namespace vkbert::tools {

/// What the persistent tensors of a case hold, in one buffer each; all variants use the same.
class CaseMemory {
  public:
    CaseMemory(Device& device, const BenchScene& scene);
    const std::map<StorageId, BufferRange>& bound() const { return bound_; }

  private:
    BufferRange add(Device& device, const BenchScene& scene, StorageId storage);

    std::vector<std::unique_ptr<Buffer>> buffers_;
    std::map<StorageId, BufferRange> bound_;
};

/// Of one call of the op, in seconds.
struct Times {
    double median = 0, best = 0;
};
Times times_of(std::vector<double> seconds);

/// One variant of a case, ready to run.
class BenchVariant {
  public:
    /// Compiles and warms up. Errors: unsupported when the variant is not made for the case,
    /// invalid_argument when its tensors are too large for it.
    BenchVariant(Device& device, PipelineCache& pipelines, const BenchCase& c, const Kernel& kernel,
                 const CaseMemory& memory);

    /// One timed run, in which a short op is repeated.
    void run();

    std::string name;
    double flops = 0, bytes = 0, compile_seconds = 0;
    std::vector<double> seconds, processor_seconds;  // of one call, each run
    // Of one call, the best while it warmed up.
    double first_seconds = 0, first_processor_seconds = 0;
    double run_seconds = 0;  // the last run, all its repeats together

  private:
    uint32_t repeats_ = 1;
    std::unique_ptr<Recording> recording_;
};

}  // namespace vkbert::tools
