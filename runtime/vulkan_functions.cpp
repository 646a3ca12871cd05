#include "runtime/vulkan_functions.hpp"

#include "runtime/error.hpp"

namespace vkbert {

void InstanceFunctions::load(PFN_vkGetInstanceProcAddr get, VkInstance instance_) {
    instance = instance_;
    vkGetInstanceProcAddr = get;
#define X(NAME)                                                \
    NAME = reinterpret_cast<PFN_##NAME>(get(instance, #NAME)); \
    if (!NAME) fail(ErrorCode::no_device, "the Vulkan loader has no {}: Vulkan 1.1 is needed", #NAME);
    VKBERT_INSTANCE_FUNCTIONS(X)
#undef X
#define X(NAME) NAME = reinterpret_cast<PFN_##NAME>(get(instance, #NAME));
    VKBERT_OPTIONAL_INSTANCE_FUNCTIONS(X)
#undef X
}

void DeviceFunctions::load(PFN_vkGetDeviceProcAddr get, VkDevice device) {
#define X(NAME)                                              \
    NAME = reinterpret_cast<PFN_##NAME>(get(device, #NAME)); \
    if (!NAME) fail(ErrorCode::no_device, "the Vulkan device has no {}: Vulkan 1.1 is needed", #NAME);
    VKBERT_DEVICE_FUNCTIONS(X)
#undef X
#define X(NAME) NAME = reinterpret_cast<PFN_##NAME>(get(device, #NAME));
    VKBERT_OPTIONAL_DEVICE_FUNCTIONS(X)
#undef X
#define X(NAME)                                              \
    NAME = reinterpret_cast<PFN_##NAME>(get(device, #NAME)); \
    if (!NAME) NAME = reinterpret_cast<PFN_##NAME>(get(device, #NAME "KHR"));
    VKBERT_PROMOTED_DEVICE_FUNCTIONS(X)
#undef X
}

}  // namespace vkbert
