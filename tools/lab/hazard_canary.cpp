// vkbert-hazard-canary: writes one buffer twice with no barrier between. The laboratory runs it to see that
// the validation layers are listening: a pass without messages means something only if this one gets a
// message.
#include <fmt/core.h>

#include <cstdio>

#include "runtime/buffer.hpp"
#include "runtime/device.hpp"

namespace vkbert::lab {
namespace {

void record_hazard(Device& device) {
    const DeviceFunctions& f = device.functions();
    const Buffer buffer(device, 4096, MemoryRole::device);
    const VkCommandPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, nullptr, 0,
                                            device.queue_family()};
    VkCommandPool pool = VK_NULL_HANDLE;
    device.check(f.vkCreateCommandPool(device.handle(), &pool_info, nullptr, &pool),
                 "creating a command pool");
    const VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, nullptr, pool,
                                           VK_COMMAND_BUFFER_LEVEL_PRIMARY, 1};
    VkCommandBuffer commands = VK_NULL_HANDLE;
    device.check(f.vkAllocateCommandBuffers(device.handle(), &info, &commands), "allocating commands");
    const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, nullptr, 0, nullptr};
    device.check(f.vkBeginCommandBuffer(commands, &begin), "beginning commands");
    f.vkCmdFillBuffer(commands, buffer.handle(), 0, 4096, 1);
    f.vkCmdFillBuffer(commands, buffer.handle(), 0, 4096, 2);
    device.check(f.vkEndCommandBuffer(commands), "ending commands");
    device.wait(device.submit({commands}));
    f.vkDestroyCommandPool(device.handle(), pool, nullptr);
}

}  // namespace
}  // namespace vkbert::lab

int main() {
    try {
        vkbert::lab::record_hazard(*vkbert::open_device("auto", ""));
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "vkbert-hazard-canary: {}\n", error.what());
        return 2;
    }
}
