#include "runtime/buffer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vkbert {

namespace {

constexpr VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
constexpr VkMemoryPropertyFlags coherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
constexpr VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

/// Property sets to try, best first. Cached matters for readback: write-combined memory is painfully slow to
/// read.
std::vector<VkMemoryPropertyFlags> wishes(MemoryRole role, bool unified) {
    switch (role) {
        case MemoryRole::device:
            if (unified) return {local | visible | coherent | cached, local | visible | coherent, local, 0};
            return {local, 0};
        case MemoryRole::upload:
            return {visible | coherent, visible};
        case MemoryRole::readback:
            return {visible | cached | coherent, visible | cached, visible | coherent, visible};
    }
    return {0};
}

}  // namespace

Buffer::Buffer(Device& device, uint64_t bytes, MemoryRole role)
    : device_(&device), bytes_(std::max<uint64_t>(bytes, 4)) {
    const auto& c = device.capabilities();
    const auto& f = device.functions();
    if (bytes_ > c.max_buffer_size)
        fail(ErrorCode::out_of_memory,
             "a buffer of {} bytes is more than {} allows ({} bytes): take smaller batches", bytes_,
             c.device_name, c.max_buffer_size);
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = bytes_;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT;
    if (c.buffer_device_address) info.usage |= VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    device.check(f.vkCreateBuffer(device.handle(), &info, nullptr, &buffer_), "vkCreateBuffer");
    try {
        VkMemoryRequirements needed;
        f.vkGetBufferMemoryRequirements(device.handle(), buffer_, &needed);
        device.account(int64_t(needed.size));
        allocated_ = needed.size;
        const auto& properties = device.memory_properties();
        VkMemoryAllocateFlagsInfo flags{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO, nullptr,
                                        VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT, 0};
        VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
        for (const VkMemoryPropertyFlags wish : wishes(role, c.unified_memory)) {
            for (uint32_t i = 0; i < properties.memoryTypeCount && !memory_; ++i) {
                const auto type = properties.memoryTypes[i].propertyFlags;
                if (!(needed.memoryTypeBits & (1u << i)) || (type & wish) != wish) continue;
                const VkMemoryAllocateInfo allocate{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                                    c.buffer_device_address ? &flags : nullptr, needed.size,
                                                    i};
                result = f.vkAllocateMemory(device.handle(), &allocate, nullptr, &memory_);
                if (result != VK_SUCCESS) continue;
                coherent_ = type & coherent;
                if (type & visible) {
                    void* pointer = nullptr;
                    device.check(f.vkMapMemory(device.handle(), memory_, 0, VK_WHOLE_SIZE, 0, &pointer),
                                 "vkMapMemory");
                    mapped_ = static_cast<std::byte*>(pointer);
                }
            }
            if (memory_) break;
        }
        if (!memory_)
            fail(ErrorCode::out_of_memory, "cannot allocate {} bytes of device memory on {} (VkResult {})",
                 needed.size, c.device_name, int(result));
        device.check(f.vkBindBufferMemory(device.handle(), buffer_, memory_, 0), "vkBindBufferMemory");
        if (c.buffer_device_address && f.vkGetBufferDeviceAddress) {
            const VkBufferDeviceAddressInfo address{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, nullptr,
                                                    buffer_};
            address_ = f.vkGetBufferDeviceAddress(device.handle(), &address);
        }
    } catch (...) {
        Buffer discard(std::move(*this));
        throw;
    }
}

Buffer::Buffer(Device& device, VkBuffer buffer, uint64_t bytes, void* mapped)
    : device_(&device),
      buffer_(buffer),
      bytes_(bytes),
      mapped_(static_cast<std::byte*>(mapped)),
      owned_(false) {
    if (device.capabilities().buffer_device_address && device.functions().vkGetBufferDeviceAddress) {
        const VkBufferDeviceAddressInfo address{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, nullptr,
                                                buffer_};
        address_ = device.functions().vkGetBufferDeviceAddress(device.handle(), &address);
    }
}

Buffer::~Buffer() {
    if (!device_ || !owned_) return;
    const auto& f = device_->functions();
    if (buffer_) f.vkDestroyBuffer(device_->handle(), buffer_, nullptr);
    if (memory_) f.vkFreeMemory(device_->handle(), memory_, nullptr);
    if (allocated_) device_->account(-int64_t(allocated_));
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(buffer_, other.buffer_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    std::swap(allocated_, other.allocated_);
    std::swap(address_, other.address_);
    std::swap(mapped_, other.mapped_);
    std::swap(owned_, other.owned_);
    std::swap(coherent_, other.coherent_);
    return *this;
}

// Whole allocation: memory that is visible but not coherent is rare, and a range would need rounding to its
// atom size.
void Buffer::flush(uint64_t, uint64_t) {
    if (coherent_ || !mapped_ || !owned_) return;
    const VkMappedMemoryRange range{VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, nullptr, memory_, 0,
                                    VK_WHOLE_SIZE};
    device_->check(device_->functions().vkFlushMappedMemoryRanges(device_->handle(), 1, &range),
                   "flushing mapped memory");
}

void Buffer::invalidate(uint64_t, uint64_t) {
    if (coherent_ || !mapped_ || !owned_) return;
    const VkMappedMemoryRange range{VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, nullptr, memory_, 0,
                                    VK_WHOLE_SIZE};
    device_->check(device_->functions().vkInvalidateMappedMemoryRanges(device_->handle(), 1, &range),
                   "invalidating mapped memory");
}

size_t Arena::reserve(uint64_t bytes) {
    ranges_.push_back({bytes, 0, 0});
    return ranges_.size() - 1;
}

std::vector<uint64_t> Arena::layout(const Capabilities& c, std::vector<Place>& places) const {
    // Blocks of at most 1 GiB: larger ones fail on drivers that report more. Kernels may read (never use) a
    // little past the end of a tensor, hence the slack at the end of every block.
    constexpr uint64_t largest = 1ull << 30, slack = 256 << 10;
    const uint64_t limit = std::min<uint64_t>(std::min(c.max_buffer_size, c.max_allocation), largest);
    std::vector<uint64_t> blocks;
    for (Place& p : places) {
        const uint64_t bytes = (p.bytes + 255) / 256 * 256;
        if (blocks.empty() || blocks.back() + bytes + slack > limit) blocks.push_back(0);
        p.block = blocks.size() - 1;
        p.offset = blocks.back();
        blocks.back() += bytes;
    }
    for (uint64_t& bytes : blocks) bytes += slack;
    return blocks;
}

uint64_t Arena::planned_bytes(const Capabilities& c) const {
    std::vector<Place> places = ranges_;
    uint64_t sum = 0;
    for (const uint64_t bytes : layout(c, places)) sum += bytes;
    return sum;
}

void Arena::commit(Device& device) {
    for (const uint64_t bytes : layout(device.capabilities(), ranges_))
        blocks_.emplace_back(device, bytes, role_);
}

BufferRange Arena::range(size_t index) {
    const Place& p = ranges_.at(index);
    return {&blocks_.at(p.block), p.offset, p.bytes};
}

}  // namespace vkbert
