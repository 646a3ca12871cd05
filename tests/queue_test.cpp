// Tickets on a timeline semaphore and on fences: the same behaviour.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <semaphore>
#include <thread>

#include "runtime/buffer.hpp"
#include "runtime/queue.hpp"
#include "tests/test_device.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

/// A queue of our own on the shared device, and command buffers that write a number into a buffer.
class QueueTest : public testing::TestWithParam<bool> {
  protected:
    QueueTest() : buffer_(device(), 64, MemoryRole::readback) {
        if (GetParam() && !device().capabilities().timeline_semaphore) return;
        VkQueue queue = VK_NULL_HANDLE;
        f().vkGetDeviceQueue(device().handle(), device().queue_family(), 0, &queue);
        Queue::Options options;
        options.timeline = GetParam();
        options.check = [](VkResult result, const char* what) { device().check(result, what); };
        options.lock_queue = [this] { ++locks_; };
        options.unlock_queue = [this] { ++unlocks_; };
        queue_ = std::make_unique<Queue>(f(), device().handle(), queue, options);
        const VkCommandPoolCreateInfo info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, nullptr, 0,
                                           device().queue_family()};
        device().check(f().vkCreateCommandPool(device().handle(), &info, nullptr, &pool_),
                       "vkCreateCommandPool");
    }
    ~QueueTest() override {
        queue_.reset();
        if (pool_) f().vkDestroyCommandPool(device().handle(), pool_, nullptr);
    }
    void SetUp() override {
        if (!queue_) GTEST_SKIP() << "this device has no timeline semaphores";
    }

    static const DeviceFunctions& f() { return device().functions(); }

    VkCommandBuffer writes(uint32_t value, VkDeviceSize offset) {
        const VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, nullptr,
                                                   pool_, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 1};
        VkCommandBuffer commands = VK_NULL_HANDLE;
        device().check(f().vkAllocateCommandBuffers(device().handle(), &allocate, &commands), "allocating");
        const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, nullptr, 0,
                                             nullptr};
        device().check(f().vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
        f().vkCmdFillBuffer(commands, buffer_.handle(), offset, 4, value);
        device().check(f().vkEndCommandBuffer(commands), "vkEndCommandBuffer");
        return commands;
    }
    uint32_t word(size_t index) {
        buffer_.invalidate(0, buffer_.bytes());
        return reinterpret_cast<const uint32_t*>(buffer_.mapped())[index];
    }

    Buffer buffer_;
    std::unique_ptr<Queue> queue_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::atomic<int> locks_ = 0, unlocks_ = 0;
};

TEST_P(QueueTest, TicketsGrowAndWaitingForALaterOneCoversTheEarlier) {
    const uint64_t first = queue_->submit({writes(11, 0), writes(12, 4)});
    const uint64_t second = queue_->submit({writes(13, 8)});
    EXPECT_GT(second, first);
    queue_->wait(second);
    EXPECT_TRUE(queue_->done(first));
    EXPECT_TRUE(queue_->done(second));
    EXPECT_EQ(word(0), 11u);
    EXPECT_EQ(word(1), 12u);
    EXPECT_EQ(word(2), 13u);
    queue_->wait(first);  // again, and of something long past
    EXPECT_EQ(locks_, 3) << "one submit a command buffer";
    EXPECT_EQ(unlocks_, locks_);
}

TEST_P(QueueTest, NothingSubmittedIsDoneAtOnce) {
    queue_->wait(0);
    EXPECT_TRUE(queue_->done(0));
}

TEST_P(QueueTest, DoneTurnsTrueWithoutWaiting) {
    const uint64_t ticket = queue_->submit({writes(21, 0)});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!queue_->done(ticket) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_TRUE(queue_->done(ticket));
    EXPECT_EQ(word(0), 21u);
}

TEST_P(QueueTest, ManySubmitsAreWaitedForWhenTheQueueGoes) {
    for (uint32_t i = 0; i < 16; ++i) queue_->submit({writes(100 + i, 4 * (i % 16))});
    queue_.reset();
    for (uint32_t i = 0; i < 16; ++i) EXPECT_EQ(word(i), 100 + i);
}

TEST_P(QueueTest, ThreadsSubmitAndWaitAtTheSameTime) {
    constexpr uint32_t threads = 4, rounds = 25;
    std::vector<std::vector<VkCommandBuffer>> commands(threads);
    for (uint32_t t = 0; t < threads; ++t)
        for (uint32_t i = 0; i < rounds; ++i) commands[t].push_back(writes(1000 * t + i, 4 * t));
    std::vector<std::thread> workers;
    for (uint32_t t = 0; t < threads; ++t)
        workers.emplace_back([&, t] {
            for (const VkCommandBuffer buffer : commands[t]) {
                const uint64_t ticket = queue_->submit({buffer});
                queue_->wait(ticket);
                EXPECT_TRUE(queue_->done(ticket));
            }
        });
    for (std::thread& worker : workers) worker.join();
    for (uint32_t t = 0; t < threads; ++t) EXPECT_EQ(word(t), 1000 * t + rounds - 1);
}

INSTANTIATE_TEST_SUITE_P(Kinds, QueueTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Timeline" : "Fences"; });

// A vkWaitForFences that lets the test decide when the wait goes on.
std::counting_semaphore<> waiting{0}, go_on{0};

VKAPI_ATTR VkResult VKAPI_CALL held_wait(VkDevice handle, uint32_t count, const VkFence* fences, VkBool32 all,
                                         uint64_t timeout) {
    waiting.release();
    go_on.acquire();
    return device().functions().vkWaitForFences(handle, count, fences, all, timeout);
}

class FenceQueueTest : public QueueTest {};

TEST_P(FenceQueueTest, AWaitKeepsNobodyFromSubmitting) {
    DeviceFunctions functions = f();
    functions.vkWaitForFences = held_wait;
    VkQueue handle = VK_NULL_HANDLE;
    functions.vkGetDeviceQueue(device().handle(), device().queue_family(), 0, &handle);
    Queue::Options options;
    options.check = [](VkResult result, const char* what) { device().check(result, what); };
    Queue queue(functions, device().handle(), handle, options);
    const uint64_t first = queue.submit({writes(31, 0)});
    std::thread waiter([&] { queue.wait(first); });
    waiting.acquire();
    auto second = std::async(std::launch::async, [&] { return queue.submit({writes(32, 4)}); });
    const bool submitted = second.wait_for(std::chrono::seconds(30)) == std::future_status::ready;
    EXPECT_TRUE(submitted) << "the wait holds the queue's lock";
    const uint64_t later = submitted ? second.get() : 0;
    // Done while the first thread still waits for its fence, which must therefore not be reset yet.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (submitted && !queue.done(later) && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    go_on.release(2);  // this wait, and the queue's own at its end
    waiter.join();
    EXPECT_TRUE(queue.done(first));
}

INSTANTIATE_TEST_SUITE_P(Kinds, FenceQueueTest, testing::Values(false), [](const auto&) { return "Fences"; });

}  // namespace
