/* A Vulkan layer that writes down what the driver's compiler makes of every compute pipeline of any program, so that two programs
 * can be laid side by side without knowing of it. Into the folder PIPELINE_WATCH, for the N-th pipeline, goes N.txt: constants,
 * subgroup size, statistics, then the compiler's representations, of which the last is the final code. log.txt there has, in
 * order, "name N TEXT" where a program names a pipeline (VK_EXT_debug_utils) and "dispatch N X Y Z" where it records one (an
 * indirect one with zeros). One driver at a time: the next functions are kept once, not by device. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

enum { MAX_PIPELINES = 1024, MAX_COMMANDS = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static VkInstance instance_of;
static VkDevice device_of;
static unsigned pipeline_count, command_count;
static VkPipeline pipelines[MAX_PIPELINES];
static struct {
    VkCommandBuffer handle;
    unsigned bound;
} commands[MAX_COMMANDS];

static FILE* file_of(const char* name, const char* mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("PIPELINE_WATCH") ? getenv("PIPELINE_WATCH") : ".", name);
    FILE* file = fopen(path, mode);
    if (!file) {
        fprintf(stderr, "pipeline_watch: %s cannot be written\n", path);
        abort();
    }
    return file;
}

static unsigned number_of(VkPipeline pipeline) {
    unsigned i = pipeline_count; /* handles are used again: the newest counts */
    while (i > 0 && pipelines[i - 1] != pipeline) {
        i--;
    }
    return i - 1;
}

#define NEXT(name) ((PFN_##name)next_device(device_of, #name))

static void write_statistics(FILE* file, VkDevice device, VkPipeline pipeline, uint32_t executable) {
    VkPipelineExecutableInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, executable};
    VkPipelineExecutableStatisticKHR list[64];
    uint32_t count = 64;
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    }
    NEXT(vkGetPipelineExecutableStatisticsKHR)(device, &which, &count, list);
    for (uint32_t i = 0; i < count; i++) {
        double value = list[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR ? list[i].value.f64
                       : list[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR ? (double)list[i].value.b32
                                                                                            : (double)list[i].value.u64;
        fprintf(file, "@statistic %.17g %s\n", value, list[i].name);
    }
}

static void write_representations(FILE* file, VkDevice device, VkPipeline pipeline, uint32_t executable) {
    VkPipelineExecutableInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, executable};
    VkPipelineExecutableInternalRepresentationKHR list[64];
    uint32_t count = 64;
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    }
    NEXT(vkGetPipelineExecutableInternalRepresentationsKHR)(device, &which, &count, list);
    for (uint32_t i = 0; i < count; i++) {
        list[i].pData = calloc(1, list[i].dataSize + 1);
    }
    NEXT(vkGetPipelineExecutableInternalRepresentationsKHR)(device, &which, &count, list);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(file, "@representation %s\n%s\n", list[i].name, list[i].isText ? (const char*)list[i].pData : "");
        free(list[i].pData);
    }
}

static void write_constants(FILE* file, const VkPipelineShaderStageCreateInfo* stage) {
    const VkSpecializationInfo* constants = stage->pSpecializationInfo;
    for (uint32_t i = 0; constants && i < constants->mapEntryCount; i++) {
        const VkSpecializationMapEntry* entry = &constants->pMapEntries[i];
        uint32_t value = 0;
        memcpy(&value, (const char*)constants->pData + entry->offset, entry->size < 4 ? entry->size : 4);
        fprintf(file, "@constant %u %u\n", entry->constantID, value);
    }
    for (const VkBaseInStructure* next = stage->pNext; next; next = next->pNext) {
        if (next->sType == VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO) {
            fprintf(file, "@subgroup %u\n",
                    ((const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo*)next)->requiredSubgroupSize);
        }
    }
}

static void write_pipeline(unsigned number, VkDevice device, const VkComputePipelineCreateInfo* info, VkPipeline pipeline) {
    char name[32];
    snprintf(name, sizeof name, "%u.txt", number);
    FILE* file = file_of(name, "w");
    write_constants(file, &info->stage);
    VkPipelineInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, NULL, pipeline};
    VkPipelineExecutablePropertiesKHR list[8];
    uint32_t count = 8;
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    }
    NEXT(vkGetPipelineExecutablePropertiesKHR)(device, &which, &count, list);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(file, "@executable %u %s\n", list[i].subgroupSize, list[i].name);
        write_statistics(file, device, pipeline, i);
        write_representations(file, device, pipeline, i);
    }
    fclose(file);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                       const VkComputePipelineCreateInfo* infos,
                                                       const VkAllocationCallbacks* allocator, VkPipeline* created) {
    (void)cache; /* what comes out of a cache has no representations */
    for (uint32_t i = 0; i < count; i++) {
        VkComputePipelineCreateInfo info = infos[i];
        info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
        VkResult result = NEXT(vkCreateComputePipelines)(device, VK_NULL_HANDLE, 1, &info, allocator, &created[i]);
        if (result != VK_SUCCESS) {
            return result;
        }
        pthread_mutex_lock(&lock);
        if (pipeline_count == MAX_PIPELINES) {
            abort();
        }
        write_pipeline(pipeline_count, device, &info, created[i]);
        pipelines[pipeline_count++] = created[i];
        pthread_mutex_unlock(&lock);
    }
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL set_name(VkDevice device, const VkDebugUtilsObjectNameInfoEXT* info) {
    (void)device; /* drivers need not hear of it */
    if (info->objectType == VK_OBJECT_TYPE_PIPELINE) {
        pthread_mutex_lock(&lock);
        FILE* log = file_of("log.txt", "a");
        fprintf(log, "name %u %s\n", number_of((VkPipeline)info->objectHandle), info->pObjectName);
        fclose(log);
        pthread_mutex_unlock(&lock);
    }
    return VK_SUCCESS;
}

static unsigned* bound_by(VkCommandBuffer buffer) {
    unsigned i = 0;
    while (i < command_count && commands[i].handle != buffer) {
        i++;
    }
    if (i == MAX_COMMANDS) {
        abort();
    }
    if (i == command_count) {
        commands[command_count++].handle = buffer;
    }
    return &commands[i].bound;
}

static VKAPI_ATTR void VKAPI_CALL bind_pipeline(VkCommandBuffer buffer, VkPipelineBindPoint point, VkPipeline pipeline) {
    pthread_mutex_lock(&lock);
    *bound_by(buffer) = number_of(pipeline);
    pthread_mutex_unlock(&lock);
    NEXT(vkCmdBindPipeline)(buffer, point, pipeline);
}

static void log_dispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y, uint32_t z) {
    pthread_mutex_lock(&lock);
    FILE* log = file_of("log.txt", "a");
    fprintf(log, "dispatch %u %u %u %u\n", *bound_by(buffer), x, y, z);
    fclose(log);
    pthread_mutex_unlock(&lock);
}

static VKAPI_ATTR void VKAPI_CALL dispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y, uint32_t z) {
    log_dispatch(buffer, x, y, z);
    NEXT(vkCmdDispatch)(buffer, x, y, z);
}

static VKAPI_ATTR void VKAPI_CALL dispatch_indirect(VkCommandBuffer buffer, VkBuffer groups, VkDeviceSize offset) {
    log_dispatch(buffer, 0, 0, 0);
    NEXT(vkCmdDispatchIndirect)(buffer, groups, offset);
}

static VkLayerInstanceCreateInfo* instance_link(const VkInstanceCreateInfo* info) {
    VkLayerInstanceCreateInfo* chain = (VkLayerInstanceCreateInfo*)info->pNext;
    while (chain && !(chain->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && chain->function == VK_LAYER_LINK_INFO)) {
        chain = (VkLayerInstanceCreateInfo*)chain->pNext;
    }
    return chain;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info, const VkAllocationCallbacks* allocator,
                                                      VkInstance* instance) {
    VkLayerInstanceCreateInfo* chain = instance_link(info);
    next_instance = chain->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    chain->u.pLayerInfo = chain->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next_instance(NULL, "vkCreateInstance");
    VkResult result = create(info, allocator, instance);
    instance_of = *instance;
    return result;
}

/* The extension and its feature are added unless the program asks for them itself. */
static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* asked,
                                                    const VkAllocationCallbacks* allocator, VkDevice* device) {
    VkLayerDeviceCreateInfo* chain = (VkLayerDeviceCreateInfo*)asked->pNext;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void*)asked->pNext, VK_TRUE};
    VkDeviceCreateInfo info = *asked;
    const char* names[256];
    int there = 0;
    while (chain && !(chain->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && chain->function == VK_LAYER_LINK_INFO)) {
        chain = (VkLayerDeviceCreateInfo*)chain->pNext;
    }
    for (uint32_t i = 0; i < info.enabledExtensionCount && i < 255; i++) {
        names[i] = info.ppEnabledExtensionNames[i];
        there |= !strcmp(names[i], VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    }
    if (!there) {
        names[info.enabledExtensionCount++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
        info.ppEnabledExtensionNames = names;
    }
    for (VkBaseOutStructure* next = (VkBaseOutStructure*)asked->pNext; next; next = next->pNext) {
        if (next->sType == feature.sType) {
            ((VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR*)next)->pipelineExecutableInfo = VK_TRUE;
            feature.pipelineExecutableInfo = VK_FALSE;
        }
    }
    if (feature.pipelineExecutableInfo) {
        info.pNext = &feature;
    }
    PFN_vkGetInstanceProcAddr instance_functions = chain->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    next_device = chain->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    chain->u.pLayerInfo = chain->u.pLayerInfo->pNext;
    PFN_vkCreateDevice create = (PFN_vkCreateDevice)instance_functions(instance_of, "vkCreateDevice");
    VkResult result = create(physical, &info, allocator, device);
    device_of = *device;
    return result;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char* name);

static PFN_vkVoidFunction own_function(const char* name) {
    static const struct {
        const char* name;
        PFN_vkVoidFunction function;
    } own[] = {
        {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
        {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
        {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)device_function},
        {"vkCreateComputePipelines", (PFN_vkVoidFunction)create_pipelines},
        {"vkSetDebugUtilsObjectNameEXT", (PFN_vkVoidFunction)set_name},
        {"vkCmdBindPipeline", (PFN_vkVoidFunction)bind_pipeline},
        {"vkCmdDispatch", (PFN_vkVoidFunction)dispatch},
        {"vkCmdDispatchIndirect", (PFN_vkVoidFunction)dispatch_indirect},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (!strcmp(own[i].name, name)) {
            return own[i].function;
        }
    }
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char* name) {
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : next_device(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_function(VkInstance instance, const char* name) {
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : next_instance(instance, name);
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface* versions) {
    versions->loaderLayerInterfaceVersion = 2;
    versions->pfnGetInstanceProcAddr = instance_function;
    versions->pfnGetDeviceProcAddr = device_function;
    versions->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
