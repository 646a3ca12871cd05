// One buffer for several storages of a plan: inputs that the host writes, results that it reads.
#pragma once

#include <cstring>
#include <map>
#include <span>
#include <vector>

#include "runtime/buffer.hpp"
#include "runtime/plan.hpp"

namespace vkbert {

/// One buffer for storages of a plan that are bound by the caller.
class BoundBuffer {
  public:
    BoundBuffer() = default;
    /// The storages of these tensors one after the other, with slack for kernels that read a little past the
    /// end.
    BoundBuffer(Device& device, const Plan& plan, const std::vector<Tensor>& tensors, MemoryRole role);
    static uint64_t planned_bytes(const Plan& plan, const std::vector<Tensor>& tensors);

    void add_to(std::map<StorageId, BufferRange>& bound);
    BufferRange range(const Tensor& tensor);
    /// Copies into host-visible memory; flush() makes it the device's.
    template <typename T>
    void put(const Tensor& tensor, std::span<const T> values) {
        const BufferRange to = range(tensor);
        if (!values.empty()) std::memcpy(to.buffer->mapped() + to.offset, values.data(), values.size_bytes());
    }
    void flush() { buffer_.flush(0, buffer_.bytes()); }

  private:
    Buffer buffer_;
    std::map<StorageId, std::pair<uint64_t, uint64_t>> places_;  // offset, bytes
};

}  // namespace vkbert
