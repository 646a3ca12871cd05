// Runs ops on a device under guard: every tensor lies between guard bytes in memory filled with NaN, inputs
// must come out as they went in, nothing outside an output may change, two runs must give the same bits, and
// with VKBERT_VALIDATION=1 the validation layers must stay silent.
//
//     for_each_variant("matmul", [](const KernelChoices& choices) {
//         OpRun run(choices);
//         const Tensor a = run.input(a_values), b = run.input(b_values), c = run.output(5, 7);
//         ops::matmul(run.plan(), "test", c, a, b);
//         run.execute();
//         expect_near(run.result(c), expected, [&](uint32_t m, uint32_t n) { return tolerance; });
//     });
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/buffer.hpp"
#include "runtime/ops.hpp"
#include "runtime/plan.hpp"
#include "runtime/recording.hpp"
#include "tests/test_device.hpp"
#include "tools/selftest/reference.hpp"

namespace vkbert::test {

/// Calls `body` once for each variant of the op that the device can run, with choices that force it.
void for_each_variant(std::string_view op, const std::function<void(const KernelChoices&)>& body);

/// Where a tensor differs from what Plan::persistent() makes.
struct TensorLayout {
    uint32_t pitch = 0;  // elements; 0: the plan's default
    Extent rows = 0u;    // capacity and symbol when not the number of rows given; rows beyond stay NaN
};

class OpRun {
  public:
    explicit OpRun(KernelChoices choices = {}) : OpRun(std::move(choices), device().capabilities()) {}
    /// For a plan made for less than what the device can do.
    OpRun(KernelChoices choices, const Capabilities& capabilities)
        : plan_(capabilities, std::move(choices)) {}

    Plan& plan() { return plan_; }

    /// A run-time number of rows: the plan is made for `capacity`, the run has `value`.
    Extent rows(uint32_t capacity, uint32_t value);

    Tensor input(const Matrix& values, Type type = Type::fp32, const TensorLayout& layout = {});
    /// Unsigned integers, `columns` a row.
    Tensor input(const std::vector<uint32_t>& values, uint32_t columns = 1, const TensorLayout& layout = {});
    /// Filled with NaN before each run.
    Tensor output(Extent rows, uint32_t columns, Type type = Type::fp32, uint32_t pitch = 0);
    /// An input that the op may overwrite.
    Tensor in_out(const Matrix& values, Type type = Type::fp32, const TensorLayout& layout = {});

    Tensor in_out(const std::vector<uint32_t>& values, uint32_t columns = 1);

    /// Finishes and records the plan, runs it twice and makes all the checks above.
    void execute();

    /// What an output holds after execute(): as many rows as the run had.
    Matrix result(const Tensor& tensor) const;
    std::vector<uint32_t> result_integers(const Tensor& tensor) const;

  private:
    struct Memory {
        Tensor tensor;
        bool written = false;
        std::vector<std::byte> initial, after;  // guard, storage, guard
        Buffer buffer;
    };
    Memory& add(Extent rows, uint32_t columns, Type type, uint32_t pitch, bool written);
    Tensor add_input(const Matrix& values, Type type, const TensorLayout& layout, bool written);
    Tensor add_input(const std::vector<uint32_t>& values, uint32_t columns, const TensorLayout& layout,
                     bool written);
    uint32_t run_rows(const Tensor& tensor) const;
    const Memory& memory(const Tensor& tensor) const;
    const std::byte* element(const Tensor& tensor, uint32_t row, uint32_t column) const;
    void upload_all();
    std::vector<std::vector<std::byte>> download_all();
    void check_untouched(const Memory& memory) const;

    Plan plan_;
    std::vector<Memory> memories_;
    std::vector<std::pair<Extent, uint32_t>> values_;
};

/// Expects the same shape and |actual - expected| <= tolerance(row, column) everywhere; NaN never passes.
void expect_near(const Matrix& actual, const Matrix& expected,
                 const std::function<double(uint32_t row, uint32_t column)>& tolerance);

}  // namespace vkbert::test
