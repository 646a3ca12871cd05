#include "runtime/device.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/vulkan_extra.hpp"

namespace vkbert {

namespace {

std::string result_name(VkResult result) {
    switch (result) {
        case VK_ERROR_OUT_OF_HOST_MEMORY:
            return "out of host memory";
        case VK_ERROR_OUT_OF_DEVICE_MEMORY:
            return "out of device memory";
        case VK_ERROR_DEVICE_LOST:
            return "device lost";
        case VK_ERROR_INITIALIZATION_FAILED:
            return "initialisation failed";
        case VK_ERROR_FEATURE_NOT_PRESENT:
            return "feature not present";
        case VK_ERROR_EXTENSION_NOT_PRESENT:
            return "extension not present";
        case VK_ERROR_MEMORY_MAP_FAILED:
            return "memory map failed";
        case VK_TIMEOUT:
            return "timeout";
        default:
            return "VkResult " + std::to_string(int(result));
    }
}

uint32_t compute_family(const InstanceFunctions& f, VkPhysicalDevice device) {
    uint32_t n = 0;
    f.vkGetPhysicalDeviceQueueFamilyProperties(device, &n, nullptr);
    std::vector<VkQueueFamilyProperties> families(n);
    f.vkGetPhysicalDeviceQueueFamilyProperties(device, &n, families.data());
    for (uint32_t i = 0; i < n; ++i)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) return i;
    fail(ErrorCode::no_device, "the Vulkan device has no compute queue");
}

/// The optional features that the runtime uses, enabled where the capabilities say they exist.
struct FeatureChain {
    VkPhysicalDeviceFeatures2 features{};
    VkPhysicalDeviceBufferDeviceAddressFeatures address{};
    VkPhysicalDeviceSubgroupSizeControlFeatures control{};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable{};
    std::vector<const char*> extensions;

    explicit FeatureChain(const Capabilities& c) {
        features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
        features.features.shaderInt64 = c.int64;
        address.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
        address.bufferDeviceAddress = VK_TRUE;
        control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
        control.subgroupSizeControl = VK_TRUE;
        control.computeFullSubgroups = c.full_subgroups;
        executable.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
        executable.pipelineExecutableInfo = VK_TRUE;
        link(c.buffer_device_address, address, c.api_version >= VK_API_VERSION_1_2,
             VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME);
        link(c.subgroup_size_control, control, c.api_version >= VK_API_VERSION_1_3,
             VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
        link(c.pipeline_statistics, executable, false, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    }
    FeatureChain(const FeatureChain&) = delete;

    template <typename T>
    void link(bool wanted, T& s, bool core, const char* extension) {
        if (!wanted) return;
        s.pNext = features.pNext;
        features.pNext = &s;
        if (!core) extensions.push_back(extension);
    }
};

/// Takes away what an engine has not enabled on its device.
void restrict_to_enabled(Capabilities& c, const AdoptedDevice& adopted) {
    bool int64 = false, address = false, control = false, full = false;
    if (const auto* f = adopted.enabled_features) {
        int64 = f->features.shaderInt64;
        for (auto* s = static_cast<const VkBaseInStructure*>(f->pNext); s; s = s->pNext) {
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES)
                address = reinterpret_cast<const VkPhysicalDeviceBufferDeviceAddressFeatures*>(s)
                              ->bufferDeviceAddress;
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)
                address = reinterpret_cast<const VkPhysicalDeviceVulkan12Features*>(s)->bufferDeviceAddress;
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES) {
                const auto* x = reinterpret_cast<const VkPhysicalDeviceSubgroupSizeControlFeatures*>(s);
                control = x->subgroupSizeControl, full = x->computeFullSubgroups;
            }
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES) {
                const auto* x = reinterpret_cast<const VkPhysicalDeviceVulkan13Features*>(s);
                control = x->subgroupSizeControl, full = x->computeFullSubgroups;
            }
        }
    }
    c.int64 = c.int64 && int64;
    c.buffer_device_address = c.buffer_device_address && address;
    c.subgroup_size_control = c.subgroup_size_control && control;
    c.full_subgroups = c.full_subgroups && full;
    c.pipeline_statistics = c.cooperative_matrix = c.storage_16bit = c.fp16_arithmetic = false;
}

}  // namespace

std::unique_ptr<Device> Device::create(std::shared_ptr<Instance> instance, VkPhysicalDevice physical,
                                       const std::string& pipeline_cache_folder) {
    std::unique_ptr<Device> d(new Device);
    d->instance_ = std::move(instance);
    d->instance_functions_ = d->instance_->functions();
    d->physical_ = physical;
    d->pipeline_cache_folder_ = pipeline_cache_folder;
    const auto& f = d->instance_functions_;
    d->capabilities_ = query_capabilities(f, physical);
    if (d->capabilities_.api_version < VK_API_VERSION_1_1)
        fail(ErrorCode::no_device, "{} offers Vulkan 1.0 only; 1.1 is needed", d->capabilities_.device_name);
    d->queue_family_ = compute_family(f, physical);
    FeatureChain chain(d->capabilities_);
    uint32_t n = 0;
    f.vkEnumerateDeviceExtensionProperties(physical, nullptr, &n, nullptr);
    std::vector<VkExtensionProperties> available(n);
    f.vkEnumerateDeviceExtensionProperties(physical, nullptr, &n, available.data());
    for (const auto& e : available)  // must be enabled where it is offered (MoltenVK)
        if (!std::strcmp(e.extensionName, "VK_KHR_portability_subset"))
            chain.extensions.push_back("VK_KHR_portability_subset");
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue{
        VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, nullptr, 0, d->queue_family_, 1, &priority};
    VkDeviceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.pNext = &chain.features;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = uint32_t(chain.extensions.size());
    info.ppEnabledExtensionNames = chain.extensions.data();
    if (const VkResult r = f.vkCreateDevice(physical, &info, nullptr, &d->device_); r != VK_SUCCESS)
        fail(ErrorCode::no_device, "cannot create a Vulkan device on {}: {}", d->capabilities_.device_name,
             result_name(r));
    d->finish_construction();
    d->functions_.vkGetDeviceQueue(d->device_, d->queue_family_, 0, &d->queue_);
    return d;
}

std::unique_ptr<Device> Device::adopt(const AdoptedDevice& adopted,
                                      const std::string& pipeline_cache_folder) {
    if (!adopted.get_instance_proc_addr || !adopted.instance || !adopted.physical_device || !adopted.device ||
        !adopted.queue)
        fail(ErrorCode::invalid_argument,
             "adopting a device needs vkGetInstanceProcAddr, instance, physical device, device and queue");
    std::unique_ptr<Device> d(new Device);
    d->owned_ = false;
    d->instance_functions_.load(adopted.get_instance_proc_addr, adopted.instance);
    d->physical_ = adopted.physical_device;
    d->device_ = adopted.device;
    d->queue_ = adopted.queue;
    d->queue_family_ = adopted.queue_family;
    d->lock_queue_ = adopted.lock_queue;
    d->unlock_queue_ = adopted.unlock_queue;
    d->pipeline_cache_folder_ = pipeline_cache_folder;
    d->capabilities_ = query_capabilities(d->instance_functions_, d->physical_);
    restrict_to_enabled(d->capabilities_, adopted);
    d->finish_construction();
    return d;
}

void Device::finish_construction() {
    functions_.load(instance_functions_.vkGetDeviceProcAddr, device_);
    VkPhysicalDeviceMemoryProperties2 m{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, nullptr, {}};
    instance_functions_.vkGetPhysicalDeviceMemoryProperties2(physical_, &m);
    memory_ = m.memoryProperties;
}

Device::~Device() {
    if (device_ && functions_.vkDestroyDevice) {
        for (auto& [ticket, fence] : pending_) {
            functions_.vkWaitForFences(device_, 1, &fence, VK_TRUE, ~0ull);
            functions_.vkDestroyFence(device_, fence, nullptr);
        }
        for (VkFence fence : free_fences_) functions_.vkDestroyFence(device_, fence, nullptr);
        if (owned_) functions_.vkDestroyDevice(device_, nullptr);
    }
}

void Device::check(VkResult result, const char* what) {
    if (result == VK_SUCCESS) return;
    if (result == VK_ERROR_DEVICE_LOST) {
        lost_ = true;
        fail(ErrorCode::device_lost, "the Vulkan device was lost ({}): {}", what, capabilities_.device_name);
    }
    const bool memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
    fail(memory ? ErrorCode::out_of_memory : ErrorCode::failed, "{}: {} on {}", what, result_name(result),
         capabilities_.device_name);
}

void Device::account(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > 0 && memory_limit_ && allocated_ + uint64_t(bytes) > memory_limit_)
        fail(ErrorCode::out_of_memory,
             "{} bytes of device memory more would make {}, over the memory limit of {} bytes: take smaller "
             "batches",
             bytes, allocated_ + uint64_t(bytes), memory_limit_);
    allocated_ = uint64_t(int64_t(allocated_) + bytes);
    peak_allocated_ = std::max(peak_allocated_, allocated_);
}

VkFence Device::take_fence() {
    if (!free_fences_.empty()) {
        const VkFence fence = free_fences_.back();
        free_fences_.pop_back();
        return fence;
    }
    const VkFenceCreateInfo info{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO, nullptr, 0};
    VkFence fence = VK_NULL_HANDLE;
    check(functions_.vkCreateFence(device_, &info, nullptr, &fence), "vkCreateFence");
    return fence;
}

uint64_t Device::submit(const std::vector<VkCommandBuffer>& commands) {
    const std::lock_guard lock(mutex_);
    if (lost_) fail(ErrorCode::device_lost, "the Vulkan device was lost: {}", capabilities_.device_name);
    const VkFence fence = take_fence();
    // One submit per command buffer, so that a driver's watchdog sees each alone; the fence follows the last.
    for (size_t i = 0; i < commands.size(); ++i) {
        VkSubmitInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
        info.commandBufferCount = 1;
        info.pCommandBuffers = &commands[i];
        if (lock_queue_) lock_queue_();
        const VkResult result =
            functions_.vkQueueSubmit(queue_, 1, &info, i + 1 == commands.size() ? fence : VK_NULL_HANDLE);
        if (unlock_queue_) unlock_queue_();
        if (result != VK_SUCCESS) {
            free_fences_.push_back(fence);
            check(result, "vkQueueSubmit");
        }
    }
    pending_.emplace_back(next_ticket_, fence);
    return next_ticket_++;
}

void Device::wait(uint64_t ticket) {
    const std::lock_guard lock(mutex_);
    while (!pending_.empty() && pending_.front().first <= ticket) {
        VkFence fence = pending_.front().second;
        check(functions_.vkWaitForFences(device_, 1, &fence, VK_TRUE, ~0ull), "vkWaitForFences");
        check(functions_.vkResetFences(device_, 1, &fence), "vkResetFences");
        free_fences_.push_back(fence);
        done_ticket_ = pending_.front().first;
        pending_.erase(pending_.begin());
    }
}

bool Device::done(uint64_t ticket) {
    {
        const std::lock_guard lock(mutex_);
        if (ticket <= done_ticket_) return true;
        for (const auto& [pending, fence] : pending_)
            if (pending <= ticket) {
                const VkResult result = functions_.vkGetFenceStatus(device_, fence);
                if (result == VK_NOT_READY) return false;
                check(result, "vkGetFenceStatus");
            }
    }
    wait(ticket);
    return true;
}

std::unique_ptr<Device> open_device(const std::string& wanted, const std::string& pipeline_cache_folder,
                                    Instance::Options options) {
    auto instance = std::make_shared<Instance>(std::move(options));
    const auto physical = instance->physical_devices();
    std::vector<Capabilities> all;
    all.reserve(physical.size());
    for (VkPhysicalDevice p : physical) all.push_back(query_capabilities(instance->functions(), p));
    const size_t index = choose_device(all, wanted);
    return Device::create(std::move(instance), physical[index], pipeline_cache_folder);
}

}  // namespace vkbert
