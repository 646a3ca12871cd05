#include "runtime/queue.hpp"

#include <algorithm>

namespace vkbert {

Queue::Queue(const DeviceFunctions& functions, VkDevice device, VkQueue queue, Options options)
    : f_(functions), device_(device), queue_(queue), options_(std::move(options)) {
    if (!options_.timeline || !f_.vkWaitSemaphores || !f_.vkGetSemaphoreCounterValue) return;
    const VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, nullptr,
                                         VK_SEMAPHORE_TYPE_TIMELINE, 0};
    const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
    options_.check(f_.vkCreateSemaphore(device_, &info, nullptr, &timeline_), "vkCreateSemaphore");
}

Queue::~Queue() {
    try {
        wait(last_ticket_);
    } catch (...) {  // a lost device has nothing to wait for
    }
    for (const Pending& pending : pending_) f_.vkDestroyFence(device_, pending.fence, nullptr);
    for (const VkFence fence : free_fences_) f_.vkDestroyFence(device_, fence, nullptr);
    if (timeline_) f_.vkDestroySemaphore(device_, timeline_, nullptr);
}

VkFence Queue::take_fence() {
    if (!free_fences_.empty()) {
        const VkFence fence = free_fences_.back();
        free_fences_.pop_back();
        return fence;
    }
    const VkFenceCreateInfo info{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO, nullptr, 0};
    VkFence fence = VK_NULL_HANDLE;
    options_.check(f_.vkCreateFence(device_, &info, nullptr, &fence), "vkCreateFence");
    return fence;
}

uint64_t Queue::submits() {
    const std::lock_guard lock(mutex_);
    return submits_;
}

uint64_t Queue::submit(const std::vector<VkCommandBuffer>& commands) {
    const std::lock_guard lock(mutex_);
    const uint64_t ticket = last_ticket_ + 1;
    VkFence fence = timeline_ ? VK_NULL_HANDLE : take_fence();
    const VkTimelineSemaphoreSubmitInfo signal{
        VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO, nullptr, 0, nullptr, 1, &ticket};
    // One submit per command buffer, so that a driver's watchdog sees each alone; the last one carries the
    // signal.
    for (size_t i = 0; i < commands.size(); ++i) {
        const bool last = i + 1 == commands.size();
        VkSubmitInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
        info.commandBufferCount = 1;
        info.pCommandBuffers = &commands[i];
        if (last && timeline_) {
            info.pNext = &signal;
            info.signalSemaphoreCount = 1;
            info.pSignalSemaphores = &timeline_;
        }
        if (options_.lock_queue) options_.lock_queue();
        const VkResult result = f_.vkQueueSubmit(queue_, 1, &info, last ? fence : VK_NULL_HANDLE);
        if (options_.unlock_queue) options_.unlock_queue();
        if (result != VK_SUCCESS) {
            if (fence) free_fences_.push_back(fence);
            options_.check(result, "vkQueueSubmit");
        }
        ++submits_;
    }
    if (fence) pending_.push_back({ticket, fence, 0});
    return last_ticket_ = ticket;
}

/// Gives back the fences of submits that ended, up to the first that a thread still waits for.
void Queue::retire() {
    const auto kept = std::find_if(pending_.begin(), pending_.end(), [this](const Pending& pending) {
        return pending.ticket > ended_ || pending.waiters > 0;
    });
    VkResult result = VK_SUCCESS;
    auto next = pending_.begin();
    for (; next != kept && result == VK_SUCCESS; ++next) {
        result = f_.vkResetFences(device_, 1, &next->fence);
        free_fences_.push_back(next->fence);
    }
    pending_.erase(pending_.begin(), next);
    options_.check(result, "vkResetFences");
}

void Queue::wait(uint64_t ticket) {
    if (ticket == 0) return;
    if (!timeline_) return wait_for_fences(ticket);
    const VkSemaphoreWaitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, nullptr, 0, 1, &timeline_, &ticket};
    options_.check(f_.vkWaitSemaphores(device_, &info, ~0ull), "vkWaitSemaphores");
}

void Queue::wait_for_fences(uint64_t ticket) {
    std::unique_lock lock(mutex_);
    ticket = std::min(ticket, last_ticket_);
    if (ticket <= ended_) return;
    const uint64_t first = ended_ + 1;
    std::vector<VkFence> fences;
    for (Pending& pending : pending_)
        if (pending.ticket >= first && pending.ticket <= ticket) {
            fences.push_back(pending.fence);
            ++pending.waiters;
        }
    lock.unlock();
    const VkResult result =
        f_.vkWaitForFences(device_, uint32_t(fences.size()), fences.data(), VK_TRUE, ~0ull);
    lock.lock();
    for (Pending& pending : pending_)
        if (pending.ticket >= first && pending.ticket <= ticket) --pending.waiters;
    options_.check(result, "vkWaitForFences");
    ended_ = std::max(ended_, ticket);
    retire();
}

bool Queue::done(uint64_t ticket) {
    if (timeline_) {
        uint64_t reached = 0;
        options_.check(f_.vkGetSemaphoreCounterValue(device_, timeline_, &reached),
                       "vkGetSemaphoreCounterValue");
        return reached >= ticket;
    }
    const std::lock_guard lock(mutex_);
    for (const Pending& pending : pending_) {
        if (pending.ticket <= ended_) continue;
        if (pending.ticket > ticket) break;
        const VkResult result = f_.vkGetFenceStatus(device_, pending.fence);
        if (result == VK_NOT_READY) break;
        options_.check(result, "vkGetFenceStatus");
        ended_ = pending.ticket;
    }
    retire();
    return ended_ >= ticket;
}

}  // namespace vkbert
