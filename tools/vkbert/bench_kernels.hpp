// vkbert bench KERNEL: every variant of a kernel that the device can run, beside each other.
#pragma once

#include "tools/vkbert/bench_cases.hpp"
#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

struct KernelBenchOptions {
    std::string kernel;  // as in bench_kernels()
    BenchShapes shapes;
    uint32_t repeat = 5;  // timed runs of each variant; the median counts
    bool json = false;
};

/// Times the variants in turn, round after round, so that a slow moment of the machine falls on all of them,
/// and writes one JSON object a variant, or a table a case. --kernel of the global options leaves only the
/// variant that it names. Errors: no such kernel; a case that no variant can do.
void bench_kernel(const GlobalOptions& global, const KernelBenchOptions& options);

}  // namespace vkbert::tools
