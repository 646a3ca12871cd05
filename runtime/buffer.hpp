// Device memory: buffers by role, and arenas of few big blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/device.hpp"

namespace vkbert {

enum class MemoryRole : uint8_t {
    device,    // touched by kernels; host visible only where memory is unified
    upload,    // written by the host, read by kernels or copies
    readback,  // written by kernels or copies, read by the host (cached)
};

/// A VkBuffer with its own memory. Host-visible buffers stay mapped.
class Buffer {
  public:
    Buffer() = default;
    /// Throws out_of_memory when the device or the memory limit has too little left.
    Buffer(Device& device, uint64_t bytes, MemoryRole role);
    /// An engine's buffer, not owned. `mapped`, if not null, is its host address.
    Buffer(Device& device, VkBuffer buffer, uint64_t bytes, void* mapped);
    ~Buffer();
    Buffer(Buffer&& other) noexcept { *this = std::move(other); }
    Buffer& operator=(Buffer&& other) noexcept;

    VkBuffer handle() const { return buffer_; }
    uint64_t bytes() const { return bytes_; }
    /// Host address, or null when the host cannot see this memory.
    std::byte* mapped() const { return mapped_; }
    /// Device address, 0 when the device has no bufferDeviceAddress.
    uint64_t address() const { return address_; }
    /// Makes host writes visible to the device / device writes visible to the host (memory that is not
    /// coherent).
    void flush(uint64_t offset, uint64_t bytes);
    void invalidate(uint64_t offset, uint64_t bytes);

  private:
    Device* device_ = nullptr;
    VkBuffer buffer_ = VK_NULL_HANDLE;
    VkDeviceMemory memory_ = VK_NULL_HANDLE;
    uint64_t bytes_ = 0, allocated_ = 0, address_ = 0;
    std::byte* mapped_ = nullptr;
    bool owned_ = true, coherent_ = true;
};

/// A byte range of a buffer.
struct BufferRange {
    Buffer* buffer = nullptr;
    uint64_t offset = 0;
    uint64_t bytes = 0;
};

/// Few big allocations of one role. Sizes are declared first (reserve), then memory is allocated once
/// (commit).
class Arena {
  public:
    explicit Arena(MemoryRole role) : role_(role) {}
    /// Declares a range; returns its index. Ranges are aligned to 256 bytes and never cross a block.
    size_t reserve(uint64_t bytes);
    /// Bytes that commit() will allocate on this device.
    uint64_t planned_bytes(const Capabilities&) const;
    void commit(Device& device);
    BufferRange range(size_t index);
    size_t size() const { return ranges_.size(); }

  private:
    struct Place {
        uint64_t bytes;
        size_t block;
        uint64_t offset;
    };
    std::vector<uint64_t> layout(const Capabilities&, std::vector<Place>&) const;
    MemoryRole role_;
    std::vector<Place> ranges_;
    std::vector<Buffer> blocks_;
};

/// Writes host bytes into a device range: a plain copy where the host sees the memory, else through a staging
/// ring.
class Uploader {
  public:
    explicit Uploader(Device& device, uint64_t slot_bytes = 8 << 20);
    ~Uploader();
    /// A host span of at most slot bytes for bytes [offset, offset + bytes) of `target`; fill it, then call
    /// commit().
    std::span<std::byte> begin(const BufferRange& target, uint64_t offset, uint64_t bytes);
    void commit();
    void upload(const BufferRange& target, uint64_t offset, std::span<const std::byte> bytes);
    /// Waits until everything committed has arrived.
    void finish();
    uint64_t slot_bytes() const { return slot_bytes_; }

  private:
    struct Slot {
        Buffer buffer;
        VkCommandBuffer commands = VK_NULL_HANDLE;
        uint64_t ticket = 0;
    };
    Device& device_;
    uint64_t slot_bytes_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::vector<Slot> slots_;
    size_t next_ = 0;
    BufferRange target_;
    uint64_t target_offset_ = 0, target_bytes_ = 0;
    bool direct_ = false;
};

/// Reads a device range into host memory; waits for it.
void download(Device& device, const BufferRange& source, uint64_t offset, std::span<std::byte> bytes);

}  // namespace vkbert
