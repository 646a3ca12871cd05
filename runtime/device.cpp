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
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable{};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix{};
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV matrix2{};
    VkPhysicalDeviceMaintenance4Features maintenance4{};
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model{};
    VkPhysicalDeviceShaderFloat16Int8Features float16{};
    VkPhysicalDeviceShaderMixedFloatDotProductFeaturesVALVE dot{};
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
        timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
        timeline.timelineSemaphore = VK_TRUE;
        link(c.timeline_semaphore, timeline, c.api_version >= VK_API_VERSION_1_2,
             VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME);
        matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
        matrix.cooperativeMatrix = VK_TRUE;
        matrix2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV;
        matrix2.cooperativeMatrixPerElementOperations = VK_TRUE;
        // SPIR-V 1.6 takes a workgroup's size from a specialization constant by LocalSizeId, which needs it.
        maintenance4.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES;
        maintenance4.maintenance4 = VK_TRUE;
        memory_model.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
        memory_model.vulkanMemoryModel = VK_TRUE;
        float16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
        float16.shaderFloat16 = VK_TRUE;
        dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_MIXED_FLOAT_DOT_PRODUCT_FEATURES_VALVE;
        dot.shaderMixedFloatDotProductFloat16AccFloat32 = VK_TRUE;
        const bool matrices = c.cooperative_matrix && !c.cooperative_matrix_broken,
                   core_1_2 = c.api_version >= VK_API_VERSION_1_2;
        link(matrices, matrix, false, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
        link(matrices && c.matrix_per_element, matrix2, false, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
        link(matrices && c.matrix_per_element, maintenance4, true, VK_KHR_MAINTENANCE_4_EXTENSION_NAME);
        link(matrices, memory_model, core_1_2, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
        link(c.mixed_dot_product, dot, false, VK_VALVE_SHADER_MIXED_FLOAT_DOT_PRODUCT_EXTENSION_NAME);
        link(c.fp16_arithmetic, float16, core_1_2, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
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
    bool int64 = false, address = false, control = false, full = false, timeline = false;
    if (const auto* f = adopted.enabled_features) {
        int64 = f->features.shaderInt64;
        for (auto* s = static_cast<const VkBaseInStructure*>(f->pNext); s; s = s->pNext) {
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES)
                address = reinterpret_cast<const VkPhysicalDeviceBufferDeviceAddressFeatures*>(s)
                              ->bufferDeviceAddress;
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES)
                timeline =
                    reinterpret_cast<const VkPhysicalDeviceTimelineSemaphoreFeatures*>(s)->timelineSemaphore;
            if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES) {
                const auto* x = reinterpret_cast<const VkPhysicalDeviceVulkan12Features*>(s);
                address = x->bufferDeviceAddress, timeline = x->timelineSemaphore;
            }
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
    c.timeline_semaphore = c.timeline_semaphore && timeline;
    c.pipeline_statistics = c.cooperative_matrix = c.matrix_per_element = c.mixed_dot_product =
        c.storage_16bit = c.fp16_arithmetic = false;
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
    if (owned_) functions_.vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
    Queue::Options options;
    options.timeline = capabilities_.timeline_semaphore;
    options.lock_queue = lock_queue_;
    options.unlock_queue = unlock_queue_;
    options.check = [this](VkResult result, const char* what) { check(result, what); };
    submissions_ = std::make_unique<Queue>(functions_, device_, queue_, std::move(options));
}

Device::~Device() {
    submissions_.reset();
    if (owned_ && device_ && functions_.vkDestroyDevice) functions_.vkDestroyDevice(device_, nullptr);
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

uint64_t Device::submit(const std::vector<VkCommandBuffer>& commands) {
    if (lost_) fail(ErrorCode::device_lost, "the Vulkan device was lost: {}", capabilities_.device_name);
    return submissions_->submit(commands);
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
