// Vulkan entry points as plain tables, one per instance and one per device, so that nothing is global: an
// engine's device and ours can live in one process. volk's tables need its global vkGetDeviceProcAddr; hence
// these lists.
#pragma once

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

namespace vkbert {

#define VKBERT_INSTANCE_FUNCTIONS(X)            \
    X(vkDestroyInstance)                        \
    X(vkEnumeratePhysicalDevices)               \
    X(vkEnumerateDeviceExtensionProperties)     \
    X(vkGetPhysicalDeviceProperties2)           \
    X(vkGetPhysicalDeviceFeatures2)             \
    X(vkGetPhysicalDeviceMemoryProperties2)     \
    X(vkGetPhysicalDeviceQueueFamilyProperties) \
    X(vkGetPhysicalDeviceFormatProperties)      \
    X(vkCreateDevice)                           \
    X(vkGetDeviceProcAddr)

#define VKBERT_OPTIONAL_INSTANCE_FUNCTIONS(X) \
    X(vkCreateDebugUtilsMessengerEXT) X(vkDestroyDebugUtilsMessengerEXT)

#define VKBERT_DEVICE_FUNCTIONS(X)    \
    X(vkDestroyDevice)                \
    X(vkGetDeviceQueue)               \
    X(vkDeviceWaitIdle)               \
    X(vkQueueSubmit)                  \
    X(vkQueueWaitIdle)                \
    X(vkAllocateMemory)               \
    X(vkFreeMemory)                   \
    X(vkMapMemory)                    \
    X(vkUnmapMemory)                  \
    X(vkFlushMappedMemoryRanges)      \
    X(vkInvalidateMappedMemoryRanges) \
    X(vkCreateBuffer)                 \
    X(vkDestroyBuffer)                \
    X(vkGetBufferMemoryRequirements)  \
    X(vkBindBufferMemory)             \
    X(vkCreateBufferView)             \
    X(vkDestroyBufferView)            \
    X(vkCreateShaderModule)           \
    X(vkDestroyShaderModule)          \
    X(vkCreatePipelineCache)          \
    X(vkDestroyPipelineCache)         \
    X(vkGetPipelineCacheData)         \
    X(vkCreateComputePipelines)       \
    X(vkDestroyPipeline)              \
    X(vkCreatePipelineLayout)         \
    X(vkDestroyPipelineLayout)        \
    X(vkCreateDescriptorSetLayout)    \
    X(vkDestroyDescriptorSetLayout)   \
    X(vkCreateDescriptorPool)         \
    X(vkDestroyDescriptorPool)        \
    X(vkAllocateDescriptorSets)       \
    X(vkUpdateDescriptorSets)         \
    X(vkCreateCommandPool)            \
    X(vkDestroyCommandPool)           \
    X(vkAllocateCommandBuffers)       \
    X(vkFreeCommandBuffers)           \
    X(vkBeginCommandBuffer)           \
    X(vkEndCommandBuffer)             \
    X(vkResetCommandBuffer)           \
    X(vkCmdBindPipeline)              \
    X(vkCmdBindDescriptorSets)        \
    X(vkCmdPushConstants)             \
    X(vkCmdDispatch)                  \
    X(vkCmdDispatchIndirect)          \
    X(vkCmdPipelineBarrier)           \
    X(vkCmdCopyBuffer)                \
    X(vkCmdFillBuffer)                \
    X(vkCmdResetQueryPool)            \
    X(vkCmdWriteTimestamp)            \
    X(vkCreateQueryPool)              \
    X(vkDestroyQueryPool)             \
    X(vkGetQueryPoolResults)          \
    X(vkCreateSemaphore)              \
    X(vkDestroySemaphore)             \
    X(vkCreateFence)                  \
    X(vkDestroyFence)                 \
    X(vkResetFences)                  \
    X(vkWaitForFences)                \
    X(vkGetFenceStatus)

// Core in 1.2 or from an extension: null when the device has neither.
#define VKBERT_OPTIONAL_DEVICE_FUNCTIONS(X) \
    X(vkGetPipelineExecutablePropertiesKHR) \
    X(vkGetPipelineExecutableStatisticsKHR) \
    X(vkGetPipelineExecutableInternalRepresentationsKHR)

// The same, under two names: the core one and, with KHR behind it, the extension's.
#define VKBERT_PROMOTED_DEVICE_FUNCTIONS(X) \
    X(vkGetBufferDeviceAddress)             \
    X(vkWaitSemaphores)                     \
    X(vkGetSemaphoreCounterValue)

struct InstanceFunctions {
    VkInstance instance = VK_NULL_HANDLE;
    PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr = nullptr;
#define X(NAME) PFN_##NAME NAME = nullptr;
    VKBERT_INSTANCE_FUNCTIONS(X)
    VKBERT_OPTIONAL_INSTANCE_FUNCTIONS(X)
#undef X
    /// Throws no_device when the instance lacks a function that Vulkan 1.1 promises.
    void load(PFN_vkGetInstanceProcAddr get, VkInstance instance);
};

struct DeviceFunctions {
#define X(NAME) PFN_##NAME NAME = nullptr;
    VKBERT_DEVICE_FUNCTIONS(X)
    VKBERT_OPTIONAL_DEVICE_FUNCTIONS(X)
    VKBERT_PROMOTED_DEVICE_FUNCTIONS(X)
#undef X
    void load(PFN_vkGetDeviceProcAddr get, VkDevice device);
};

}  // namespace vkbert
