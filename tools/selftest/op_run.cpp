#include "tools/selftest/op_run.hpp"

#include <cstring>

#include "runtime/error.hpp"
#include "runtime/recording.hpp"

namespace vkbert::tools {

OpRun::OpRun(Device& device, PipelineCache& pipelines, KernelChoices choices)
    : device_(device), pipelines_(pipelines), plan_(device.capabilities(), std::move(choices)) {}

OpRun::Memory& OpRun::add(uint32_t rows, uint32_t columns, Type type) {
    auto memory = std::make_unique<Memory>();
    memory->tensor = plan_.persistent("tensor " + std::to_string(memories_.size()), rows, columns, type);
    memory->bytes.assign(plan_.storages()[memory->tensor.storage].bytes, std::byte{0xff});
    memories_.push_back(std::move(memory));
    return *memories_.back();
}

Tensor OpRun::input(const test::Matrix& values, Type type) {
    Memory& memory = add(values.rows, values.columns, type);
    const Tensor& t = memory.tensor;
    for (uint32_t row = 0; row < values.rows; ++row)
        for (uint32_t column = 0; column < values.columns; ++column) {
            std::byte* target = memory.bytes.data() + (size_t(row) * t.pitch + column) * size_of(type);
            const uint16_t half = test::half_bits(values(row, column));
            const auto single = static_cast<float>(values(row, column));
            if (type == Type::fp16)
                std::memcpy(target, &half, sizeof half);
            else
                std::memcpy(target, &single, sizeof single);
        }
    return t;
}

Tensor OpRun::input(const std::vector<uint32_t>& values, uint32_t columns) {
    Memory& memory = add(static_cast<uint32_t>(values.size() / columns), columns, Type::uint32);
    const Tensor& t = memory.tensor;
    for (size_t i = 0; i < values.size(); ++i)
        std::memcpy(memory.bytes.data() + (i / columns * t.pitch + i % columns) * 4, &values[i], 4);
    return t;
}

Tensor OpRun::output(uint32_t rows, uint32_t columns, Type type) {
    return add(rows, columns, type).tensor;
}

void OpRun::execute() {
    plan_.finish();
    std::map<StorageId, BufferRange> bound;
    Uploader uploader(device_);
    for (const auto& memory : memories_) {
        const uint64_t bytes = memory->bytes.size();
        memory->buffer = Buffer(device_, bytes + Plan::read_slack, MemoryRole::device);
        bound[memory->tensor.storage] = {&memory->buffer, 0, bytes};
        uploader.upload(bound[memory->tensor.storage], 0, memory->bytes);
    }
    uploader.finish();
    Recording recording(device_, pipelines_, plan_, bound);
    recording.run();
}

std::vector<std::byte> OpRun::fetch(const Tensor& tensor) {
    for (const auto& memory : memories_) {
        if (memory->tensor.storage != tensor.storage) continue;
        std::vector<std::byte> bytes(memory->bytes.size());
        download(device_, {&memory->buffer, 0, bytes.size()}, 0, bytes);
        return bytes;
    }
    fail(ErrorCode::invalid_argument, "no such tensor in this run");
}

test::Matrix OpRun::result(const Tensor& tensor) {
    const std::vector<std::byte> bytes = fetch(tensor);
    test::Matrix matrix(tensor.rows.capacity, tensor.columns);
    for (uint32_t row = 0; row < matrix.rows; ++row)
        for (uint32_t column = 0; column < matrix.columns; ++column) {
            const std::byte* source =
                bytes.data() + tensor.offset + (size_t(row) * tensor.pitch + column) * size_of(tensor.type);
            uint16_t half = 0;
            float single = 0;
            if (tensor.type == Type::fp16)
                std::memcpy(&half, source, sizeof half);
            else
                std::memcpy(&single, source, sizeof single);
            matrix(row, column) = tensor.type == Type::fp16 ? test::half_value(half) : double(single);
        }
    return matrix;
}

std::vector<uint32_t> OpRun::result_integers(const Tensor& tensor) {
    const std::vector<std::byte> bytes = fetch(tensor);
    std::vector<uint32_t> values;
    for (uint32_t row = 0; row < tensor.rows.capacity; ++row)
        for (uint32_t column = 0; column < tensor.columns; ++column) {
            uint32_t value = 0;
            std::memcpy(&value, bytes.data() + (size_t(row) * tensor.pitch + column) * 4, 4);
            values.push_back(value);
        }
    return values;
}

}  // namespace vkbert::tools
