#include "runtime/capabilities.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include "runtime/device.hpp"
#include "runtime/error.hpp"
#include "runtime/vulkan_extra.hpp"
#include "runtime/workarounds.hpp"

namespace vkbert {

namespace {

std::vector<VkExtensionProperties> extensions_of(const InstanceFunctions& f, VkPhysicalDevice device) {
    uint32_t n = 0;
    f.vkEnumerateDeviceExtensionProperties(device, nullptr, &n, nullptr);
    std::vector<VkExtensionProperties> list(n);
    f.vkEnumerateDeviceExtensionProperties(device, nullptr, &n, list.data());
    return list;
}

DeviceClass class_of(VkPhysicalDeviceType type) {
    switch (type) {
        case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
            return DeviceClass::discrete;
        case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
            return DeviceClass::integrated;
        case VK_PHYSICAL_DEVICE_TYPE_CPU:
            return DeviceClass::cpu;
        default:
            return DeviceClass::other;
    }
}

std::string component_name(int32_t type) {
    switch (type) {
        case VK_COMPONENT_TYPE_FLOAT16_KHR:
            return "fp16";
        case VK_COMPONENT_TYPE_FLOAT32_KHR:
            return "fp32";
        case VK_COMPONENT_TYPE_FLOAT64_KHR:
            return "fp64";
        case VK_COMPONENT_TYPE_SINT8_KHR:
            return "s8";
        case VK_COMPONENT_TYPE_SINT32_KHR:
            return "s32";
        case VK_COMPONENT_TYPE_UINT8_KHR:
            return "u8";
        case VK_COMPONENT_TYPE_UINT32_KHR:
            return "u32";
        case vkbert_component_type_bfloat16:
            return "bf16";
        default:
            return "type" + std::to_string(type);
    }
}

struct Query {
    const InstanceFunctions& f;
    VkPhysicalDevice device;
    Capabilities& c;
    std::vector<VkExtensionProperties> extensions;

    bool has(const char* name) const {
        return std::any_of(extensions.begin(), extensions.end(),
                           [&](const auto& e) { return !std::strcmp(e.extensionName, name); });
    }
    bool has(uint32_t core_since, const char* name) const { return c.api_version >= core_since || has(name); }

    void properties();
    void limits(const VkPhysicalDeviceLimits&);
    void subgroups(const VkPhysicalDeviceSubgroupProperties&);
    void features();
    void memory();
    void queues();
    void cooperative_matrices();
};

void Query::limits(const VkPhysicalDeviceLimits& l) {
    c.max_storage_buffer_range = l.maxStorageBufferRange;
    c.max_texel_elements = l.maxTexelBufferElements;
    c.max_shared_memory = l.maxComputeSharedMemorySize;
    c.max_invocations = l.maxComputeWorkGroupInvocations;
    std::copy_n(l.maxComputeWorkGroupSize, 3, c.max_workgroup_size);
    std::copy_n(l.maxComputeWorkGroupCount, 3, c.max_workgroup_count);
    c.max_push_constants = l.maxPushConstantsSize;
    c.storage_alignment = uint32_t(l.minStorageBufferOffsetAlignment);
    c.texel_alignment = uint32_t(l.minTexelBufferOffsetAlignment);
    c.max_storage_buffers = std::min(l.maxPerStageDescriptorStorageBuffers, l.maxDescriptorSetStorageBuffers);
    c.timestamp_period = l.timestampPeriod;
}

void Query::subgroups(const VkPhysicalDeviceSubgroupProperties& s) {
    if (!(s.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT)) return;
    const auto has_operation = [&](VkSubgroupFeatureFlags bits) {
        return (s.supportedOperations & bits) == bits;
    };
    c.subgroup_size = c.min_subgroup_size = c.max_subgroup_size = s.subgroupSize;
    c.subgroup_basic = has_operation(VK_SUBGROUP_FEATURE_BASIC_BIT);
    c.subgroup_arithmetic = has_operation(VK_SUBGROUP_FEATURE_ARITHMETIC_BIT);
    c.subgroup_shuffle = has_operation(VK_SUBGROUP_FEATURE_SHUFFLE_BIT);
    c.subgroup_quad = has_operation(VK_SUBGROUP_FEATURE_QUAD_BIT);
}

void Query::properties() {
    VkPhysicalDeviceProperties2 p{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, nullptr, {}};
    f.vkGetPhysicalDeviceProperties2(device, &p);
    c.api_version = p.properties.apiVersion;
    c.device_name = p.properties.deviceName;
    c.vendor_id = p.properties.vendorID;
    c.device_id = p.properties.deviceID;
    c.driver_version = p.properties.driverVersion;
    c.device_class = class_of(p.properties.deviceType);
    if (c.device_class == DeviceClass::cpu) c.processors = std::max(1u, std::thread::hardware_concurrency());
    std::memcpy(c.pipeline_cache_uuid, p.properties.pipelineCacheUUID, 16);
    limits(p.properties.limits);
    if (c.api_version < VK_API_VERSION_1_1) return;
    extensions = extensions_of(f, device);

    void* chain = nullptr;
    auto link = [&](auto& s) {
        s.pNext = chain;
        chain = &s;
    };
    VkPhysicalDeviceSubgroupProperties subgroup{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, nullptr, 0, 0, 0, 0};
    VkPhysicalDeviceMaintenance3Properties m3{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                                              nullptr, 0, 0};
    VkPhysicalDeviceMaintenance4Properties m4{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
                                              nullptr, 0};
    VkPhysicalDeviceDriverProperties driver{};
    driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    VkPhysicalDeviceSubgroupSizeControlProperties control{};
    control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
    VkPhysicalDeviceShaderIntegerDotProductProperties dot{};
    dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES;
    link(subgroup);
    link(m3);
    if (has(VK_API_VERSION_1_3, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) link(dot);
    const bool has_m4 = has(VK_API_VERSION_1_3, VK_KHR_MAINTENANCE_4_EXTENSION_NAME);
    const bool has_control = has(VK_API_VERSION_1_3, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    if (has_m4) link(m4);
    if (has_control) link(control);
    if (has(VK_API_VERSION_1_2, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)) link(driver);
    p.pNext = chain;
    f.vkGetPhysicalDeviceProperties2(device, &p);
    subgroups(subgroup);
    c.max_allocation = m3.maxMemoryAllocationSize ? m3.maxMemoryAllocationSize : c.max_allocation;
    c.max_buffer_size = has_m4 && m4.maxBufferSize ? m4.maxBufferSize : c.max_allocation;
    c.mixed_sign_dot_product = dot.integerDotProduct4x8BitPackedMixedSignednessAccelerated;
    c.driver_id = driver.driverID;
    c.driver_name = driver.driverName;
    c.driver_info = driver.driverInfo;
    if (has_control && (control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT)) {
        c.min_subgroup_size = control.minSubgroupSize;
        c.max_subgroup_size = control.maxSubgroupSize;
        c.subgroup_size_control = true;
    }
}

void Query::features() {
    VkPhysicalDeviceFeatures2 features{};
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    VkPhysicalDevice16BitStorageFeatures storage16{};
    storage16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
    VkPhysicalDeviceShaderFloat16Int8Features float16{};
    float16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
    VkPhysicalDeviceBufferDeviceAddressFeatures address{};
    address.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
    timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
    VkPhysicalDeviceSubgroupSizeControlFeatures control{};
    control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable{};
    executable.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix{};
    matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV matrix2{};
    matrix2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV;
    VkPhysicalDeviceShaderMixedFloatDotProductFeaturesVALVE dot{};
    dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_MIXED_FLOAT_DOT_PRODUCT_FEATURES_VALVE;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model{};
    memory_model.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
    void* chain = nullptr;
    auto link = [&](bool present, auto& s) {
        if (!present) return;
        s.pNext = chain;
        chain = &s;
    };
    link(true, storage16);
    link(has(VK_API_VERSION_1_2, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME), float16);
    link(has(VK_API_VERSION_1_2, VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME), address);
    link(has(VK_API_VERSION_1_2, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME), timeline);
    link(has(VK_API_VERSION_1_3, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME), control);
    link(has(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME), executable);
    link(has(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME), matrix);
    link(has(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME), matrix2);
    link(has(VK_VALVE_SHADER_MIXED_FLOAT_DOT_PRODUCT_EXTENSION_NAME), dot);
    link(has(VK_API_VERSION_1_2, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME), memory_model);
    features.pNext = chain;
    f.vkGetPhysicalDeviceFeatures2(device, &features);
    c.int64 = features.features.shaderInt64;
    c.storage_16bit = storage16.storageBuffer16BitAccess;
    c.fp16_arithmetic = float16.shaderFloat16;
    c.buffer_device_address = address.bufferDeviceAddress;
    c.timeline_semaphore = timeline.timelineSemaphore;
    c.subgroup_size_control = c.subgroup_size_control && control.subgroupSizeControl;
    c.full_subgroups = control.computeFullSubgroups;
    c.pipeline_statistics = executable.pipelineExecutableInfo;
    // Kernels that use them are written for the Vulkan memory model and name fp16 as a type.
    c.cooperative_matrix = matrix.cooperativeMatrix && memory_model.vulkanMemoryModel && c.fp16_arithmetic;
    c.matrix_per_element = c.cooperative_matrix && matrix2.cooperativeMatrixPerElementOperations &&
                           c.api_version >= VK_API_VERSION_1_3;
    c.mixed_dot_product = dot.shaderMixedFloatDotProductFloat16AccFloat32 && c.fp16_arithmetic;
    c.memory_budget = has(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
}

void Query::memory() {
    VkPhysicalDeviceMemoryProperties2 m{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, nullptr, {}};
    f.vkGetPhysicalDeviceMemoryProperties2(device, &m);
    const auto& p = m.memoryProperties;
    for (uint32_t i = 0; i < p.memoryHeapCount; ++i)
        if (p.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            c.device_memory = std::max<uint64_t>(c.device_memory, p.memoryHeaps[i].size);
    c.unified_memory = c.device_class == DeviceClass::integrated || c.device_class == DeviceClass::cpu;
}

void Query::queues() {
    uint32_t n = 0;
    f.vkGetPhysicalDeviceQueueFamilyProperties(device, &n, nullptr);
    std::vector<VkQueueFamilyProperties> families(n);
    f.vkGetPhysicalDeviceQueueFamilyProperties(device, &n, families.data());
    for (const auto& family : families)
        if (family.queueFlags & VK_QUEUE_COMPUTE_BIT) {
            c.timestamp_bits = family.timestampValidBits;
            return;
        }
}

void Query::cooperative_matrices() {
    const auto get = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(
        f.vkGetInstanceProcAddr(f.instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
    uint32_t n = 0;
    if (!get || get(device, &n, nullptr) != VK_SUCCESS) return;
    std::vector<VkCooperativeMatrixPropertiesKHR> list(n);
    for (auto& entry : list) {
        entry = {};
        entry.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    }
    get(device, &n, list.data());
    for (const auto& s : list)
        if (s.scope == VK_SCOPE_SUBGROUP_KHR)
            c.cooperative_matrix_shapes.push_back({s.MSize, s.NSize, s.KSize, component_name(s.AType),
                                                   component_name(s.BType), component_name(s.CType),
                                                   component_name(s.ResultType)});
}

}  // namespace

std::string driver_identity(const Capabilities& c) {
    std::string text;
    for (const uint8_t byte : c.pipeline_cache_uuid) text += fmt::format("{:02x}", byte);
    return text + fmt::format("-{:08x}", c.driver_version);
}

Capabilities query_capabilities(const InstanceFunctions& f, VkPhysicalDevice device) {
    Capabilities c;
    Query query{f, device, c, {}};
    query.properties();
    query.memory();
    query.queues();
    if (c.api_version < VK_API_VERSION_1_1) return c;
    query.features();
    if (c.cooperative_matrix) query.cooperative_matrices();
    apply_workarounds(c);
    return c;
}

}  // namespace vkbert
