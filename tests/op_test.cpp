#include "tests/op_test.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace vkbert::test {
namespace {

constexpr uint64_t guard_before = 4096;             // a multiple of every offset alignment
constexpr uint64_t guard_after = Plan::read_slack;  // kernels may read this far, never write
constexpr std::byte fill{0xff};                     // NaN as fp32 and as fp16

void store(std::byte* target, double value, Type type) {
    if (type == Type::fp16) {
        const uint16_t bits = half_bits(value);
        std::memcpy(target, &bits, sizeof bits);
    } else {
        const auto single = float(value);
        std::memcpy(target, &single, sizeof single);
    }
}

}  // namespace

void for_each_variant(std::string_view op, const std::function<void(const KernelChoices&)>& body) {
    std::vector<std::string_view> done;  // an op may have one table a type, with the same names in each
    for (const ops::KernelTable& table : ops::all_kernels()) {
        if (table.op != op) continue;
        for (const Kernel& kernel : table.kernels) {
            if (!satisfies(device().capabilities(), kernel)) continue;
            if (std::find(done.begin(), done.end(), kernel.name) != done.end()) continue;
            done.push_back(kernel.name);
            SCOPED_TRACE(fmt::format("{}={} on {}", op, kernel.name, device().capabilities().device_name));
            body({{std::string(op), std::string(kernel.name)}});
        }
    }
    EXPECT_FALSE(done.empty()) << "no variant of " << op << " can run on this device";
}

Extent OpRun::rows(uint32_t capacity, uint32_t value) {
    const Extent extent = plan_.symbol(fmt::format("rows {}", values_.size()), capacity);
    values_.emplace_back(extent, value);
    return extent;
}

uint32_t OpRun::run_rows(const Tensor& tensor) const {
    for (const auto& [extent, value] : values_)
        if (!tensor.rows.constant() && extent.symbol == tensor.rows.symbol) return value;
    return tensor.rows.capacity;
}

OpRun::Memory& OpRun::add(Extent rows, uint32_t columns, Type type, uint32_t pitch, bool written) {
    const std::string name = fmt::format("tensor {}", memories_.size());
    Memory& memory = memories_.emplace_back();
    memory.written = written;
    if (pitch == 0) {
        memory.tensor = plan_.persistent(name, rows, columns, type);
    } else {
        memory.tensor = {.rows = rows, .columns = columns, .pitch = pitch, .type = type};
        const uint64_t bytes = uint64_t(std::max(rows.capacity, 1u)) * pitch * size_of(type);
        memory.tensor.storage = plan_.persistent_storage(name, bytes);
    }
    const uint64_t bytes = (plan_.storages()[memory.tensor.storage].bytes + 15) / 16 * 16;
    memory.initial.assign(guard_before + bytes + guard_after, fill);
    return memory;
}

Tensor OpRun::add_input(const Matrix& values, Type type, const TensorLayout& layout, bool written) {
    const Extent rows = layout.rows.capacity != 0 ? layout.rows : Extent(values.rows);
    Memory& memory = add(rows, values.columns, type, layout.pitch, written);
    for (uint32_t row = 0; row < values.rows; row++)
        for (uint32_t column = 0; column < values.columns; column++)
            store(memory.initial.data() + guard_before +
                      (uint64_t(row) * memory.tensor.pitch + column) * size_of(type),
                  values(row, column), type);
    return memory.tensor;
}

Tensor OpRun::input(const Matrix& values, Type type, const TensorLayout& layout) {
    return add_input(values, type, layout, false);
}

Tensor OpRun::in_out(const Matrix& values, Type type, const TensorLayout& layout) {
    return add_input(values, type, layout, true);
}

Tensor OpRun::add_input(const std::vector<uint32_t>& values, uint32_t columns, const TensorLayout& layout,
                        bool written) {
    const auto given = uint32_t(values.size() / columns);
    Memory& memory = add(layout.rows.capacity != 0 ? layout.rows : Extent(given), columns, Type::uint32,
                         layout.pitch, written);
    for (uint32_t row = 0; row < given; row++)
        std::memcpy(memory.initial.data() + guard_before + uint64_t(row) * memory.tensor.pitch * 4,
                    values.data() + size_t(row) * columns, size_t(columns) * 4);
    return memory.tensor;
}

Tensor OpRun::input(const std::vector<uint32_t>& values, uint32_t columns, const TensorLayout& layout) {
    return add_input(values, columns, layout, false);
}

Tensor OpRun::in_out(const std::vector<uint32_t>& values, uint32_t columns) {
    return add_input(values, columns, {}, true);
}

Tensor OpRun::output(Extent rows, uint32_t columns, Type type, uint32_t pitch) {
    return add(rows, columns, type, pitch, true).tensor;
}

void OpRun::upload_all() {
    Uploader uploader(device());
    for (Memory& memory : memories_)
        uploader.upload({&memory.buffer, 0, memory.buffer.bytes()}, 0, memory.initial);
    uploader.finish();
}

std::vector<std::vector<std::byte>> OpRun::download_all() {
    std::vector<std::vector<std::byte>> all;
    for (Memory& memory : memories_) {
        std::vector<std::byte>& bytes = all.emplace_back(memory.initial.size());
        download(device(), {&memory.buffer, 0, memory.buffer.bytes()}, 0, bytes);
    }
    return all;
}

void OpRun::execute() {
    std::map<StorageId, BufferRange> bound;
    for (Memory& memory : memories_) {
        memory.buffer = Buffer(device(), memory.initial.size(), MemoryRole::device);
        bound[memory.tensor.storage] = {&memory.buffer, guard_before,
                                        memory.initial.size() - guard_before - guard_after};
    }
    plan_.finish();
    Recording recording(device(), pipelines(), plan_, bound);
    for (const auto& [extent, value] : values_) recording.set(extent, value);
    upload_all();
    recording.run();
    const auto first = download_all();
    upload_all();
    recording.run();
    auto second = download_all();
    for (size_t i = 0; i < memories_.size(); i++) {
        EXPECT_EQ(first[i], second[i]) << "tensor " << i << ": two runs gave different bits";
        memories_[i].after = std::move(second[i]);
        check_untouched(memories_[i]);
    }
    for (const std::string& message : take_validation_messages()) ADD_FAILURE() << message;
}

void OpRun::check_untouched(const Memory& memory) const {
    const Tensor& tensor = memory.tensor;
    std::vector<std::byte> expected = memory.initial;
    if (memory.written)  // only the elements of the rows of this run may differ
        for (uint32_t row = 0; row < run_rows(tensor); row++) {
            const uint64_t begin = guard_before + uint64_t(row) * tensor.pitch * size_of(tensor.type);
            std::memcpy(expected.data() + begin, memory.after.data() + begin,
                        size_t(tensor.columns) * size_of(tensor.type));
        }
    const auto [at, found] = std::mismatch(expected.begin(), expected.end(), memory.after.begin());
    if (at != expected.end())
        ADD_FAILURE() << "tensor " << tensor.storage << " (" << tensor.rows.capacity << ", " << tensor.columns
                      << ") pitch " << tensor.pitch << ": byte "
                      << at - expected.begin() - int64_t(guard_before) << " from its start was written";
}

const OpRun::Memory& OpRun::memory(const Tensor& tensor) const {
    for (const Memory& memory : memories_)
        if (memory.tensor.storage == tensor.storage) return memory;
    fail(ErrorCode::invalid_argument, "not a tensor of this run");
}

const std::byte* OpRun::element(const Tensor& tensor, uint32_t row, uint32_t column) const {
    return memory(tensor).after.data() + guard_before + tensor.offset +
           (uint64_t(row) * tensor.pitch + column) * size_of(tensor.type);
}

Matrix OpRun::result(const Tensor& tensor) const {
    Matrix matrix(run_rows(tensor), tensor.columns);
    for (uint32_t row = 0; row < matrix.rows; row++)
        for (uint32_t column = 0; column < matrix.columns; column++) {
            uint16_t half = 0;
            float single = 0;
            const std::byte* source = element(tensor, row, column);
            if (tensor.type == Type::fp16)
                std::memcpy(&half, source, sizeof half);
            else
                std::memcpy(&single, source, sizeof single);
            matrix(row, column) = tensor.type == Type::fp16 ? half_value(half) : double(single);
        }
    return matrix;
}

std::vector<uint32_t> OpRun::result_integers(const Tensor& tensor) const {
    std::vector<uint32_t> values;
    for (uint32_t row = 0; row < run_rows(tensor); row++)
        for (uint32_t column = 0; column < tensor.columns; column++)
            std::memcpy(&values.emplace_back(), element(tensor, row, column), sizeof(uint32_t));
    return values;
}

void expect_near(const Matrix& actual, const Matrix& expected,
                 const std::function<double(uint32_t row, uint32_t column)>& tolerance) {
    ASSERT_EQ(actual.rows, expected.rows);
    ASSERT_EQ(actual.columns, expected.columns);
    size_t wrong = 0;
    for (uint32_t row = 0; row < actual.rows; row++)
        for (uint32_t column = 0; column < actual.columns; column++) {
            const double error = std::fabs(actual(row, column) - expected(row, column));
            if (error <= tolerance(row, column)) continue;
            if (wrong++ == 0)
                ADD_FAILURE() << "row " << row << " column " << column << ": " << actual(row, column)
                              << " should be " << expected(row, column) << " within "
                              << tolerance(row, column);
        }
    EXPECT_EQ(wrong, 0u) << "of " << actual.values.size() << " elements are wrong";
}

}  // namespace vkbert::test
