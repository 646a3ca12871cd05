// Copies between the host and device memory that the host cannot see.
#include <algorithm>
#include <cstring>

#include "runtime/buffer.hpp"

namespace vkbert {

namespace {

VkCommandPool create_pool(Device& device) {
    VkCommandPoolCreateInfo info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, nullptr,
                                 VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, device.queue_family()};
    VkCommandPool pool = VK_NULL_HANDLE;
    device.check(device.functions().vkCreateCommandPool(device.handle(), &info, nullptr, &pool),
                 "vkCreateCommandPool");
    return pool;
}

VkCommandBuffer allocate_commands(Device& device, VkCommandPool pool) {
    const VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, nullptr, pool,
                                           VK_COMMAND_BUFFER_LEVEL_PRIMARY, 1};
    VkCommandBuffer commands = VK_NULL_HANDLE;
    device.check(device.functions().vkAllocateCommandBuffers(device.handle(), &info, &commands),
                 "vkAllocateCommandBuffers");
    return commands;
}

/// Records one copy, with barriers against kernels and the host on both sides.
void record_copy(Device& device, VkCommandBuffer commands, VkBuffer from, uint64_t from_offset, VkBuffer to,
                 uint64_t to_offset, uint64_t bytes) {
    const auto& f = device.functions();
    const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, nullptr,
                                         VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, nullptr};
    device.check(f.vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
    constexpr VkPipelineStageFlags work =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier before{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr,
                                 VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                 VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    f.vkCmdPipelineBarrier(commands, work, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &before, 0, nullptr, 0,
                           nullptr);
    const VkBufferCopy region{from_offset, to_offset, bytes};
    f.vkCmdCopyBuffer(commands, from, to, 1, &region);
    const VkMemoryBarrier after{
        VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT,
        VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT};
    f.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, work | VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                           &after, 0, nullptr, 0, nullptr);
    device.check(f.vkEndCommandBuffer(commands), "vkEndCommandBuffer");
}

}  // namespace

Uploader::Uploader(Device& device, uint64_t slot_bytes) : device_(device), slot_bytes_(slot_bytes) {}

Uploader::~Uploader() {
    if (!pool_) return;
    for (const Slot& slot : slots_) {
        try {
            device_.wait(slot.ticket);
        } catch (const Error&) {  // a lost device has nothing to wait for
        }
    }
    device_.functions().vkDestroyCommandPool(device_.handle(), pool_, nullptr);
}

std::span<std::byte> Uploader::begin(const BufferRange& target, uint64_t offset, uint64_t bytes) {
    if (offset + bytes > target.bytes)
        fail(ErrorCode::invalid_argument, "upload past the end of a buffer range");
    target_ = target, target_offset_ = offset, target_bytes_ = bytes;
    direct_ = target.buffer->mapped() != nullptr;
    if (direct_) return {target.buffer->mapped() + target.offset + offset, size_t(bytes)};
    if (bytes > slot_bytes_)
        fail(ErrorCode::invalid_argument, "upload of {} bytes through slots of {}", bytes, slot_bytes_);
    if (slots_.size() < 2) {  // the second slot fills while the first is copied
        if (!pool_) pool_ = create_pool(device_);
        slots_.push_back(
            {Buffer(device_, slot_bytes_, MemoryRole::upload), allocate_commands(device_, pool_), 0});
        next_ = slots_.size() - 1;
    }
    Slot& slot = slots_[next_];
    device_.wait(slot.ticket);
    return {slot.buffer.mapped(), size_t(bytes)};
}

void Uploader::commit() {
    if (direct_) {
        target_.buffer->flush(target_.offset + target_offset_, target_bytes_);
        return;
    }
    Slot& slot = slots_[next_];
    slot.buffer.flush(0, target_bytes_);
    record_copy(device_, slot.commands, slot.buffer.handle(), 0, target_.buffer->handle(),
                target_.offset + target_offset_, target_bytes_);
    slot.ticket = device_.submit({slot.commands});
    next_ = (next_ + 1) % slots_.size();
}

void Uploader::upload(const BufferRange& target, uint64_t offset, std::span<const std::byte> bytes) {
    for (size_t done = 0; done < bytes.size();) {
        const size_t n =
            target.buffer->mapped() ? bytes.size() : std::min<size_t>(bytes.size() - done, slot_bytes_);
        const auto span = begin(target, offset + done, n);
        std::memcpy(span.data(), bytes.data() + done, n);
        commit();
        done += n;
    }
}

void Uploader::finish() {
    for (const Slot& slot : slots_) device_.wait(slot.ticket);
}

void download(Device& device, const BufferRange& source, uint64_t offset, std::span<std::byte> bytes) {
    if (offset + bytes.size() > source.bytes)
        fail(ErrorCode::invalid_argument, "download past the end of a buffer range");
    if (bytes.empty()) return;
    if (source.buffer->mapped()) {
        source.buffer->invalidate(source.offset + offset, bytes.size());
        std::memcpy(bytes.data(), source.buffer->mapped() + source.offset + offset, bytes.size());
        return;
    }
    constexpr uint64_t slot_bytes = 16 << 20;
    Buffer slot(device, std::min<uint64_t>(bytes.size(), slot_bytes), MemoryRole::readback);
    const VkCommandPool pool = create_pool(device);
    try {
        const VkCommandBuffer commands = allocate_commands(device, pool);
        for (size_t done = 0; done < bytes.size();) {
            const size_t n = std::min<size_t>(bytes.size() - done, slot.bytes());
            record_copy(device, commands, source.buffer->handle(), source.offset + offset + done,
                        slot.handle(), 0, n);
            device.wait(device.submit({commands}));
            slot.invalidate(0, n);
            std::memcpy(bytes.data() + done, slot.mapped(), n);
            done += n;
        }
    } catch (...) {
        device.functions().vkDestroyCommandPool(device.handle(), pool, nullptr);
        throw;
    }
    device.functions().vkDestroyCommandPool(device.handle(), pool, nullptr);
}

}  // namespace vkbert
