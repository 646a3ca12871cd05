// Submits and waits. A ticket is a number that only grows, as on a timeline: one timeline semaphore where the
// device has them (Vulkan 1.2 or VK_KHR_timeline_semaphore), else a fence a submit.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "runtime/vulkan_functions.hpp"

namespace vkbert {

class Queue {
  public:
    struct Options {
        bool timeline = false;  // the device has timeline semaphores, and they are enabled
        std::function<void()> lock_queue,
            unlock_queue;  // an engine's, around every vkQueueSubmit; may be empty
        /// Throws for a result that is not success: Device::check.
        std::function<void(VkResult, const char*)> check;
    };
    Queue(const DeviceFunctions& functions, VkDevice device, VkQueue queue, Options options);
    ~Queue();
    Queue(const Queue&) = delete;

    /// Submits command buffers in order and returns a ticket. Safe from several threads.
    uint64_t submit(const std::vector<VkCommandBuffer>& commands);
    /// Blocks until the submit of this ticket, and all before it, ended. Other threads may submit meanwhile.
    void wait(uint64_t ticket);
    bool done(uint64_t ticket);
    /// Calls of vkQueueSubmit so far: one a command buffer.
    uint64_t submits();

  private:
    /// A submit without timeline. Its fence is not reset while threads wait for it.
    struct Pending {
        uint64_t ticket;
        VkFence fence;
        uint32_t waiters;
    };
    VkFence take_fence();
    void wait_for_fences(uint64_t ticket);
    void retire();

    const DeviceFunctions& f_;
    VkDevice device_;
    VkQueue queue_;
    Options options_;
    std::mutex mutex_;
    uint64_t last_ticket_ = 0;
    uint64_t submits_ = 0;
    VkSemaphore timeline_ = VK_NULL_HANDLE;
    uint64_t ended_ = 0;            // without timeline: this ticket and all before it ended
    std::vector<Pending> pending_;  // without timeline: oldest first
    std::vector<VkFence> free_fences_;
};

}  // namespace vkbert
