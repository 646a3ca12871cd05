// Pipelines of a device: compiled once per (shader, specialization constants), kept on disk from run to run.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/plan.hpp"

namespace vkbert {

struct Pipeline {
    VkPipeline pipeline = VK_NULL_HANDLE;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
    uint32_t address_count = 0;  // `address` bindings: 8 bytes each at the start of the push constants
};

/// One line of VK_KHR_pipeline_executable_properties.
struct PipelineStatistic {
    std::string executable, name, description;
    double value;
};

class PipelineCache {
  public:
    /// Loads the driver's cache data from device.pipeline_cache_folder(), when it was written by the same
    /// driver.
    explicit PipelineCache(Device& device);
    ~PipelineCache();
    PipelineCache(const PipelineCache&) = delete;

    /// The pipeline of a kernel with per-call constants; compiled on first use. Throws failed naming the
    /// kernel.
    const Pipeline& get(const Kernel& kernel, const std::vector<uint32_t>& constants, uint32_t push_bytes);
    /// Compiles one with statistics capture and returns what the compiler tells. Empty when the device
    /// cannot.
    std::vector<PipelineStatistic> statistics(const Kernel& kernel, const std::vector<uint32_t>& constants,
                                              uint32_t push_bytes);
    /// Writes the cache to disk if a pipeline was compiled that the file does not know. Failures are not
    /// errors: returns false.
    bool save();
    size_t compiled() const { return compiled_; }

  private:
    struct Key {
        const Shader* shader;
        std::vector<uint32_t> constants;
        std::vector<BindingKind> bindings;
        uint32_t push_bytes, subgroup_size;
        auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr): a false alarm
    };
    Pipeline create(const Kernel&, const std::vector<uint32_t>& all_constants, uint32_t push_bytes,
                    VkPipelineCreateFlags flags);
    std::string path() const;
    std::vector<std::byte> load();
    std::set<uint64_t> keys() const;

    Device& device_;
    VkPipelineCache cache_ = VK_NULL_HANDLE;
    std::map<Key, Pipeline> pipelines_;
    std::map<const Shader*, VkShaderModule> modules_;
    size_t compiled_ = 0;
    std::set<uint64_t> keys_on_disk_;  // hashes of the pipelines that the file knows
    std::mutex mutex_;
};

}  // namespace vkbert
