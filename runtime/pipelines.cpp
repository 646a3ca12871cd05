#include "runtime/pipelines.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "runtime/files.hpp"

namespace vkbert {

namespace {

/// What precedes the driver's data in a cache file, so that a torn or foreign file is never handed to a
/// driver.
struct CacheHeader {
    char magic[4] = {'V', 'K', 'B', 'C'};
    uint32_t version = 1;
    uint8_t uuid[16] = {};
    uint32_t vendor_id = 0, device_id = 0, driver_version = 0, reserved = 0;
    uint64_t bytes = 0, checksum = 0;
};

uint64_t fnv1a(std::span<const std::byte> bytes) {
    uint64_t hash = 14695981039346656037ull;
    for (const std::byte b : bytes) hash = (hash ^ uint64_t(b)) * 1099511628211ull;
    return hash;
}

CacheHeader header_for(const Capabilities& c, std::span<const std::byte> data) {
    CacheHeader h;
    std::memcpy(h.uuid, c.pipeline_cache_uuid, 16);
    h.vendor_id = c.vendor_id, h.device_id = c.device_id, h.driver_version = c.driver_version;
    h.bytes = data.size(), h.checksum = fnv1a(data);
    return h;
}

/// The bytes of the cache file, or none when there is none that can be read.
std::string stored_file(const std::string& path) {
    constexpr uint64_t most = 256 << 20;
    try {
        return path.empty() ? std::string() : read_text_file(path, most);
    } catch (const Error&) {
        return {};
    }
}

}  // namespace

std::string PipelineCache::path() const {
    if (device_.pipeline_cache_folder().empty()) return {};
    std::string name;
    for (const uint8_t byte : device_.capabilities().pipeline_cache_uuid) name += fmt::format("{:02x}", byte);
    name += fmt::format("-{:08x}.pipelines", device_.capabilities().driver_version);
    return (std::filesystem::path(device_.pipeline_cache_folder()) / name).string();
}

PipelineCache::PipelineCache(Device& device) : device_(device) {
    const std::string file = stored_file(path());
    std::span<const std::byte> data;
    CacheHeader stored;
    if (file.size() > sizeof stored) {
        std::memcpy(&stored, file.data(), sizeof stored);
        data = std::as_bytes(std::span(file)).subspan(sizeof stored);
        const CacheHeader expected = header_for(device.capabilities(), data);
        if (std::memcmp(&stored, &expected, sizeof stored) == 0)
            checksum_ = stored.checksum;
        else
            data = {};
    }
    VkPipelineCacheCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
    info.initialDataSize = data.size();
    info.pInitialData = data.data();
    const auto& f = device.functions();
    if (!data.empty() && f.vkCreatePipelineCache(device.handle(), &info, nullptr, &cache_) == VK_SUCCESS)
        return;
    info.initialDataSize = 0;
    device.check(f.vkCreatePipelineCache(device.handle(), &info, nullptr, &cache_), "vkCreatePipelineCache");
}

PipelineCache::~PipelineCache() {
    const auto& f = device_.functions();
    for (auto& [key, p] : pipelines_) {
        f.vkDestroyPipeline(device_.handle(), p.pipeline, nullptr);
        f.vkDestroyPipelineLayout(device_.handle(), p.layout, nullptr);
        f.vkDestroyDescriptorSetLayout(device_.handle(), p.set_layout, nullptr);
    }
    for (auto& [shader, module] : modules_) f.vkDestroyShaderModule(device_.handle(), module, nullptr);
    if (cache_) f.vkDestroyPipelineCache(device_.handle(), cache_, nullptr);
}

bool PipelineCache::save() {
    const std::lock_guard lock(mutex_);
    const std::string name = path();
    if (name.empty() || compiled_ == saved_) return !name.empty();
    const auto& f = device_.functions();
    size_t size = 0;
    if (f.vkGetPipelineCacheData(device_.handle(), cache_, &size, nullptr) != VK_SUCCESS) return false;
    std::vector<std::byte> data(size);
    if (f.vkGetPipelineCacheData(device_.handle(), cache_, &size, data.data()) != VK_SUCCESS) return false;
    data.resize(size);
    const CacheHeader header = header_for(device_.capabilities(), data);
    if (header.checksum == checksum_) {  // every pipeline came from the file: spare the next start an fsync
        saved_ = compiled_;
        return true;
    }
    std::error_code error;
    std::filesystem::create_directories(device_.pipeline_cache_folder(), error);
    try {
        AtomicFile file(name);
        file.write(std::as_bytes(std::span(&header, 1)));
        file.write(data);
        file.commit();
    } catch (const Error&) {  // a cache that cannot be kept costs time at the next start, nothing else
        return false;
    }
    saved_ = compiled_;
    checksum_ = header.checksum;
    return true;
}

Pipeline PipelineCache::create(const Kernel& kernel, const std::vector<uint32_t>& constants,
                               uint32_t push_bytes, VkPipelineCreateFlags flags) {
    const auto& f = device_.functions();
    const VkDevice device = device_.handle();
    VkShaderModule& module = modules_[kernel.shader];
    if (!module) {
        const VkShaderModuleCreateInfo info{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, nullptr, 0,
                                            kernel.shader->code.size_bytes(), kernel.shader->code.data()};
        device_.check(f.vkCreateShaderModule(device, &info, nullptr, &module), "vkCreateShaderModule");
    }
    Pipeline p;
    std::vector<VkDescriptorSetLayoutBinding> slots;
    for (uint32_t i = 0; i < kernel.bindings.size(); ++i) {
        if (kernel.bindings[i] == BindingKind::address) {
            ++p.address_count;
            continue;
        }
        const auto type = kernel.bindings[i] == BindingKind::texel ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                                                   : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
        slots.push_back({i, type, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
    }
    const std::string what = fmt::format("compiling kernel {} {}", kernel.op, kernel.name);
    const VkDescriptorSetLayoutCreateInfo set{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, nullptr, 0,
                                              uint32_t(slots.size()), slots.data()};
    device_.check(f.vkCreateDescriptorSetLayout(device, &set, nullptr, &p.set_layout), what.c_str());
    const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, push_bytes + 8 * p.address_count};
    const VkPipelineLayoutCreateInfo layout{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                            nullptr,
                                            0,
                                            1,
                                            &p.set_layout,
                                            range.size ? 1u : 0u,
                                            &range};
    VkResult result = f.vkCreatePipelineLayout(device, &layout, nullptr, &p.layout);

    std::vector<VkSpecializationMapEntry> entries;
    for (uint32_t i = 0; i < constants.size(); ++i) entries.push_back({i, i * 4, 4});
    const VkSpecializationInfo specialization{uint32_t(entries.size()), entries.data(), constants.size() * 4,
                                              constants.data()};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup{
        VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, nullptr,
        kernel.required_subgroup_size};
    VkComputePipelineCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    info.flags = flags;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    if (kernel.required_subgroup_size && device_.capabilities().subgroup_size_control)
        info.stage.pNext = &subgroup;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = "main";
    info.stage.pSpecializationInfo = &specialization;
    info.layout = p.layout;
    if (result == VK_SUCCESS)
        result = f.vkCreateComputePipelines(device, flags ? VK_NULL_HANDLE : cache_, 1, &info, nullptr,
                                            &p.pipeline);
    if (result != VK_SUCCESS) {
        f.vkDestroyPipelineLayout(device, p.layout, nullptr);
        f.vkDestroyDescriptorSetLayout(device, p.set_layout, nullptr);
        device_.check(result, what.c_str());
    }
    return p;
}

const Pipeline& PipelineCache::get(const Kernel& kernel, const std::vector<uint32_t>& constants,
                                   uint32_t push_bytes) {
    std::vector<uint32_t> all = kernel.constants;
    all.insert(all.end(), constants.begin(), constants.end());
    const std::lock_guard lock(mutex_);
    const auto [place, fresh] = pipelines_.try_emplace(
        {kernel.shader, all, kernel.bindings, push_bytes, kernel.required_subgroup_size});
    if (fresh) {
        try {
            place->second = create(kernel, all, push_bytes, 0);
        } catch (...) {
            pipelines_.erase(place);
            throw;
        }
        ++compiled_;
    }
    return place->second;
}

std::vector<PipelineStatistic> PipelineCache::statistics(const Kernel& kernel,
                                                         const std::vector<uint32_t>& constants,
                                                         uint32_t push_bytes) {
    const auto& f = device_.functions();
    if (!device_.capabilities().pipeline_statistics || !f.vkGetPipelineExecutableStatisticsKHR) return {};
    std::vector<uint32_t> all = kernel.constants;
    all.insert(all.end(), constants.begin(), constants.end());
    const std::lock_guard lock(mutex_);
    const Pipeline p = create(kernel, all, push_bytes, VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR);
    const VkPipelineInfoKHR info{VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, nullptr, p.pipeline};
    uint32_t n = 0;
    f.vkGetPipelineExecutablePropertiesKHR(device_.handle(), &info, &n, nullptr);
    std::vector<VkPipelineExecutablePropertiesKHR> executables(
        n, {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR, nullptr, 0, {}, {}, 0});
    f.vkGetPipelineExecutablePropertiesKHR(device_.handle(), &info, &n, executables.data());
    std::vector<PipelineStatistic> statistics;
    for (uint32_t e = 0; e < n; ++e) {
        const VkPipelineExecutableInfoKHR which{VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, nullptr,
                                                p.pipeline, e};
        uint32_t m = 0;
        f.vkGetPipelineExecutableStatisticsKHR(device_.handle(), &which, &m, nullptr);
        VkPipelineExecutableStatisticKHR empty{};
        empty.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
        std::vector<VkPipelineExecutableStatisticKHR> list(m, empty);
        f.vkGetPipelineExecutableStatisticsKHR(device_.handle(), &which, &m, list.data());
        for (const auto& s : list) {
            double value = 0;
            switch (s.format) {
                case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
                    value = s.value.b32;
                    break;
                case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
                    value = double(s.value.i64);
                    break;
                case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
                    value = double(s.value.u64);
                    break;
                default:
                    value = s.value.f64;
            }
            statistics.push_back({executables[e].name, s.name, s.description, value});
        }
    }
    f.vkDestroyPipeline(device_.handle(), p.pipeline, nullptr);
    f.vkDestroyPipelineLayout(device_.handle(), p.layout, nullptr);
    f.vkDestroyDescriptorSetLayout(device_.handle(), p.set_layout, nullptr);
    return statistics;
}

}  // namespace vkbert
