#include "runtime/bound_buffer.hpp"

namespace vkbert {

namespace {

constexpr uint64_t aligned(uint64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

}  // namespace

uint64_t BoundBuffer::planned_bytes(const Plan& plan, const std::vector<Tensor>& tensors) {
    uint64_t bytes = 0;
    for (const Tensor& t : tensors) bytes += aligned(plan.storages()[t.storage].bytes);
    return tensors.empty() ? 0 : bytes + Plan::read_slack;
}

BoundBuffer::BoundBuffer(Device& device, const Plan& plan, const std::vector<Tensor>& tensors,
                         MemoryRole role)
    : buffer_(device, planned_bytes(plan, tensors), role) {
    uint64_t offset = 0;
    for (const Tensor& t : tensors) {
        const uint64_t bytes = plan.storages()[t.storage].bytes;
        places_[t.storage] = {offset, bytes};
        offset += aligned(bytes);
    }
}

BufferRange BoundBuffer::range(const Tensor& tensor) {
    const auto& [offset, bytes] = places_.at(tensor.storage);
    return {&buffer_, offset, bytes};
}

void BoundBuffer::add_to(std::map<StorageId, BufferRange>& bound) {
    for (const auto& [storage, place] : places_) bound[storage] = {&buffer_, place.first, place.second};
}

}  // namespace vkbert
