// One op on a device: plan, memory, one run, results on the host.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/buffer.hpp"
#include "runtime/pipelines.hpp"
#include "runtime/plan.hpp"
#include "tools/selftest/reference.hpp"

namespace vkbert::tools {

class OpRun {
  public:
    OpRun(Device& device, PipelineCache& pipelines, KernelChoices choices);

    Plan& plan() { return plan_; }
    Tensor input(const test::Matrix& values, Type type = Type::fp32);
    Tensor input(const std::vector<uint32_t>& values, uint32_t columns = 1);
    /// Filled with NaN before the run.
    Tensor output(uint32_t rows, uint32_t columns, Type type = Type::fp32);

    void execute();
    test::Matrix result(const Tensor& tensor);
    std::vector<uint32_t> result_integers(const Tensor& tensor);

  private:
    struct Memory {
        Tensor tensor;
        std::vector<std::byte> bytes;
        Buffer buffer;
    };
    Memory& add(uint32_t rows, uint32_t columns, Type type);
    std::vector<std::byte> fetch(const Tensor& tensor);

    Device& device_;
    PipelineCache& pipelines_;
    Plan plan_;
    std::vector<std::unique_ptr<Memory>> memories_;
};

}  // namespace vkbert::tools
