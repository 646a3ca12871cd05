// What a Vulkan device can do, as plain data: choosers and the plan are pure functions of it and run without
// a GPU.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vkbert {

enum class DeviceClass : uint8_t { discrete, integrated, cpu, other };

/// One row of vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR: D(m,n) = A(m,k) B(k,n) + C(m,n) at subgroup
/// scope.
struct CooperativeMatrixShape {
    uint32_t m, n, k;
    std::string a, b, c, result;  // component types: "fp16", "bf16", "fp32", "s8", "u8", "s32", "u32"
};

struct Capabilities {
    std::string device_name, driver_name, driver_info;
    DeviceClass device_class = DeviceClass::other;
    uint32_t processors = 1;  // that a CPU driver has threads on
    uint32_t api_version = 0, vendor_id = 0, device_id = 0, driver_version = 0, driver_id = 0;
    uint8_t pipeline_cache_uuid[16] = {};

    // limits
    uint64_t max_storage_buffer_range = 128ull << 20;
    uint64_t max_buffer_size = 1ull << 30;  // maintenance4's, else max_allocation
    uint64_t max_allocation = 1ull << 30;   // maxMemoryAllocationSize
    uint32_t max_texel_elements = 65536;    // maxTexelBufferElements
    uint32_t max_shared_memory = 16384;     // bytes
    uint32_t max_invocations = 128;         // per workgroup
    uint32_t max_workgroup_size[3] = {128, 128, 64};
    uint32_t max_workgroup_count[3] = {65535, 65535, 65535};
    uint32_t max_push_constants = 128;  // bytes
    uint32_t storage_alignment = 256;   // minStorageBufferOffsetAlignment
    uint32_t texel_alignment = 256;     // minTexelBufferOffsetAlignment
    uint32_t max_storage_buffers = 4;   // per stage and per set
    uint64_t device_memory = 0;         // bytes of the largest device-local heap
    bool unified_memory = false;        // every device-local heap is host visible

    // subgroups (0: no subgroup operations in compute)
    uint32_t subgroup_size = 0, min_subgroup_size = 0, max_subgroup_size = 0;
    bool subgroup_basic = false, subgroup_arithmetic = false, subgroup_shuffle = false, subgroup_quad = false;
    bool subgroup_size_control = false;  // a required subgroup size can be asked for in compute
    bool full_subgroups = false;

    // features
    bool buffer_device_address = false, int64 = false;
    bool storage_16bit = false, fp16_arithmetic = false;
    bool mixed_sign_dot_product = false;  // packed signed x unsigned bytes, accelerated
    bool mixed_dot_product = false;       // two products of fp16 added to an fp32 sum, in one instruction
    bool timeline_semaphore = false, memory_budget = false, pipeline_statistics = false;
    bool cooperative_matrix = false;
    bool matrix_per_element = false;  // functions of each element of a cooperative matrix, in SPIR-V 1.6
    std::vector<CooperativeMatrixShape> cooperative_matrix_shapes;
    uint32_t timestamp_bits = 0;
    float timestamp_period = 0;  // nanoseconds a tick

    // facts about the driver that no Vulkan query tells; set by runtime/workarounds.cpp alone, each with its
    // reason
    bool scalar_pointer_loads =
        false;                      // loads at addresses uniform over the workgroup become one scalar load
    bool loops_take_turns = false;  // what a loop itself needs takes turns with its products
    bool texel_kernels_broken = false;
    bool fast_buffer_loads = false;  // a CPU driver's, of consecutive lanes: no slower than texels
    bool cooperative_matrix_broken = false;
    bool folds_constants = true;  // specialization constants, before it looks at loops and arrays
    uint32_t registers = 0;  // 32-bit ones that an invocation can have before it spills; 0: enough for all
};

/// What files that belong to a driver are named after: its pipeline cache UUID and its version.
std::string driver_identity(const Capabilities&);

}  // namespace vkbert
