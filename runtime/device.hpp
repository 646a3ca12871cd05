// A Vulkan device: created here, or adopted from an engine. Owns what the rest of the runtime shares.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/capabilities.hpp"
#include "runtime/error.hpp"
#include "runtime/queue.hpp"
#include "runtime/vulkan_functions.hpp"

namespace vkbert {

/// The Vulkan loader and an instance. Movable; destroyed last.
class Instance {
  public:
    struct Options {
        bool validation =
            false;  // VK_LAYER_KHRONOS_validation with synchronisation checks, if it is installed
        /// Receives validation and loader messages. Called from any thread.
        std::function<void(const std::string&)> message;
    };
    /// Opens the system's Vulkan loader. Throws no_device when there is none.
    explicit Instance(Options options);
    Instance() : Instance(Options{}) {}
    ~Instance();
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    VkInstance handle() const { return instance_; }
    const InstanceFunctions& functions() const { return functions_; }
    std::vector<VkPhysicalDevice> physical_devices() const;

  private:
    void create(const Options&);
    void* library_ = nullptr;
    VkInstance instance_ = VK_NULL_HANDLE;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    Options options_;
    InstanceFunctions functions_;
};

/// What a physical device can do (runtime/capabilities.hpp); every query of the runtime is made here.
Capabilities query_capabilities(const InstanceFunctions&, VkPhysicalDevice);

/// Index of the device that `wanted` names: "auto" (discrete, then integrated, then CPU, then other), a
/// number, or a part of the device's name (case does not matter). Throws no_device naming what there is.
size_t choose_device(const std::vector<Capabilities>& devices, const std::string& wanted);

/// An engine's device, for Device::adopt. Of what `enabled_features` says was enabled, 64-bit integers,
/// buffer device addresses, subgroup size control and timeline semaphores are used. Cooperative matrices, and
/// the functions of their elements (VK_NV_cooperative_matrix2), are not: only Device::create enables these.
struct AdoptedDevice {
    PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr;
    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physical_device = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    VkQueue queue = VK_NULL_HANDLE;
    uint32_t queue_family = 0;
    const VkPhysicalDeviceFeatures2* enabled_features =
        nullptr;  // chain as given to vkCreateDevice; may be null
    std::vector<std::string> enabled_extensions;
    std::function<void()> lock_queue, unlock_queue;  // called around every vkQueueSubmit; may be empty
};

class Device {
  public:
    /// Creates a device with one compute queue and every optional feature that the runtime can use.
    /// pipeline_cache_folder: where compiled pipelines are kept from run to run (created if absent; empty:
    /// nowhere).
    static std::unique_ptr<Device> create(std::shared_ptr<Instance>, VkPhysicalDevice,
                                          const std::string& pipeline_cache_folder = "");
    /// Uses an engine's device and queue; they must outlive the result.
    static std::unique_ptr<Device> adopt(const AdoptedDevice&, const std::string& pipeline_cache_folder = "");
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const Capabilities& capabilities() const { return capabilities_; }
    const DeviceFunctions& functions() const { return functions_; }
    VkDevice handle() const { return device_; }
    uint32_t queue_family() const { return queue_family_; }
    const VkPhysicalDeviceMemoryProperties& memory_properties() const { return memory_; }
    const std::string& pipeline_cache_folder() const { return pipeline_cache_folder_; }

    /// Submits command buffers in order and returns a ticket. wait() blocks until that submit, and all before
    /// it, ended.
    uint64_t submit(const std::vector<VkCommandBuffer>& commands);
    void wait(uint64_t ticket) { submissions_->wait(ticket); }
    bool done(uint64_t ticket) { return submissions_->done(ticket); }
    /// Calls of vkQueueSubmit so far.
    uint64_t submits() { return submissions_->submits(); }

    /// Bytes of device memory allocated through this device now, and at most so far.
    uint64_t allocated_bytes() const { return allocated_; }
    uint64_t peak_allocated_bytes() const { return peak_allocated_; }
    /// Allocations beyond this many bytes throw out_of_memory. 0: no limit.
    void set_memory_limit(uint64_t bytes) { memory_limit_ = bytes; }
    uint64_t memory_limit() const { return memory_limit_; }
    void account(int64_t bytes);

    /// Throws on a Vulkan failure: device_lost, out_of_memory or failed, saying what was being done.
    void check(VkResult result, const char* what);

  private:
    Device() = default;
    void finish_construction();

    std::shared_ptr<Instance> instance_;
    InstanceFunctions instance_functions_;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    uint32_t queue_family_ = 0;
    bool owned_ = true;
    std::atomic<bool> lost_ = false;
    std::function<void()> lock_queue_, unlock_queue_;
    Capabilities capabilities_;
    DeviceFunctions functions_;
    VkPhysicalDeviceMemoryProperties memory_{};
    std::string pipeline_cache_folder_;
    uint64_t allocated_ = 0, peak_allocated_ = 0, memory_limit_ = 0;
    std::mutex mutex_;
    std::unique_ptr<Queue> submissions_;
};

/// The default for a program: an instance, the device `wanted` names (choose_device), the cache folder.
std::unique_ptr<Device> open_device(const std::string& wanted, const std::string& pipeline_cache_folder,
                                    Instance::Options options = {});

}  // namespace vkbert
