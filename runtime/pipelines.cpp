#include "runtime/pipelines.hpp"
#include "runtime/specialization.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "runtime/files.hpp"
#include "runtime/hash.hpp"

namespace vkbert {

namespace {

/// What precedes the keys (8 bytes each) and the driver's data in a cache file, so that a torn or foreign
/// file is never handed to a driver.
struct CacheHeader {
    char magic[4] = {'V', 'K', 'B', 'C'};
    uint32_t version = 2;
    uint8_t uuid[16] = {};
    uint32_t vendor_id = 0, device_id = 0, driver_version = 0, keys = 0;
    uint64_t bytes = 0, checksum = 0;  // of the keys and the driver's data
};

CacheHeader header_for(const Capabilities& c, std::span<const std::byte> data, uint32_t keys) {
    CacheHeader h;
    h.keys = keys;
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
    const std::string name = driver_identity(device_.capabilities()) + ".pipelines";
    return (std::filesystem::path(device_.pipeline_cache_folder()) / name).string();
}

/// The driver's data in the file; empty when there is none that can be trusted.
std::vector<std::byte> PipelineCache::load() {
    const std::string file = stored_file(path());
    CacheHeader stored;
    if (file.size() < sizeof stored) return {};
    std::memcpy(&stored, file.data(), sizeof stored);
    const auto body = std::as_bytes(std::span(file)).subspan(sizeof stored);
    const CacheHeader expected = header_for(device_.capabilities(), body, stored.keys);
    if (std::memcmp(&stored, &expected, sizeof stored) != 0 || stored.keys > body.size() / 8) return {};
    for (size_t i = 0; i < stored.keys; ++i) {
        uint64_t key = 0;
        std::memcpy(&key, body.data() + 8 * i, 8);
        keys_on_disk_.insert(key);
    }
    const auto data = body.subspan(8 * size_t(stored.keys));
    return {data.begin(), data.end()};
}

PipelineCache::PipelineCache(Device& device) : device_(device) {
    const std::vector<std::byte> data = load();
    VkPipelineCacheCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
    info.initialDataSize = data.size();
    info.pInitialData = data.data();
    const auto& f = device.functions();
    if (f.vkCreatePipelineCache(device.handle(), &info, nullptr, &cache_) == VK_SUCCESS) return;
    keys_on_disk_.clear();
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

std::set<uint64_t> PipelineCache::keys() const {
    std::set<uint64_t> all;
    for (const auto& [key, pipeline] : pipelines_) {
        const uint32_t rest[] = {key.push_bytes, key.subgroup_size};
        uint64_t hash = fnv1a(std::as_bytes(key.shader->code));
        hash = fnv1a(std::as_bytes(std::span(key.constants)), hash);
        hash = fnv1a(std::as_bytes(std::span(key.bindings)), hash);
        all.insert(fnv1a(std::as_bytes(std::span(rest)), hash));
    }
    return all;
}

bool PipelineCache::save() {
    const std::lock_guard lock(mutex_);
    const std::string name = path();
    if (name.empty()) return false;
    // Whether something is new is told by our own keys: the drivers' data may differ from run to run though
    // nothing was compiled, and SwiftShader's grows each time. Most starts thus write, and sync, nothing.
    std::set<uint64_t> all = keys();
    if (std::includes(keys_on_disk_.begin(), keys_on_disk_.end(), all.begin(), all.end())) return true;
    all.insert(keys_on_disk_.begin(), keys_on_disk_.end());
    const auto& f = device_.functions();
    size_t size = 0;
    if (f.vkGetPipelineCacheData(device_.handle(), cache_, &size, nullptr) != VK_SUCCESS) return false;
    std::vector<std::byte> body(8 * all.size() + size);
    size_t end = 0;
    for (const uint64_t key : all) {
        std::memcpy(body.data() + end, &key, 8);
        end += 8;
    }
    if (f.vkGetPipelineCacheData(device_.handle(), cache_, &size, body.data() + end) != VK_SUCCESS)
        return false;
    body.resize(end + size);
    const CacheHeader header = header_for(device_.capabilities(), body, uint32_t(all.size()));
    std::error_code error;
    std::filesystem::create_directories(device_.pipeline_cache_folder(), error);
    try {
        AtomicFile file(name);
        file.write(std::as_bytes(std::span(&header, 1)));
        file.write(body);
        file.commit();
    } catch (const Error&) {  // a cache that cannot be kept costs time at the next start, nothing else
        return false;
    }
    keys_on_disk_ = std::move(all);
    return true;
}

static VkResult make_module(Device& device, std::span<const uint32_t> code, VkShaderModule& module) {
    const VkShaderModuleCreateInfo info{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, nullptr, 0,
                                        code.size_bytes(), code.data()};
    return device.functions().vkCreateShaderModule(device.handle(), &info, nullptr, &module);
}

Pipeline PipelineCache::create(const Kernel& kernel, const std::vector<uint32_t>& constants,
                               uint32_t push_bytes, VkPipelineCreateFlags flags) {
    const auto& f = device_.functions();
    const VkDevice device = device_.handle();
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

    VkShaderModule own = VK_NULL_HANDLE;  // of this pipeline alone
    VkShaderModule& module = folds_here(device_.capabilities(), kernel) ? own : modules_[kernel.shader];
    if (result == VK_SUCCESS && !module) {
        const std::span<const uint32_t> code = kernel.shader->code;
        result = &module == &own ? make_module(device_, specialize(code, constants), module)
                                 : make_module(device_, code, module);
    }

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
    if (kernel.required_subgroup_size && device_.capabilities().subgroup_size_control) {
        info.stage.pNext = &subgroup;
        if (device_.capabilities().full_subgroups)
            info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = "main";
    info.stage.pSpecializationInfo = &specialization;
    info.layout = p.layout;
    if (result == VK_SUCCESS)
        result = f.vkCreateComputePipelines(device, flags ? VK_NULL_HANDLE : cache_, 1, &info, nullptr,
                                            &p.pipeline);
    f.vkDestroyShaderModule(device, own, nullptr);
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
