// A recording: a finished plan bound to memory, recorded into command buffers once and replayed for ever.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/buffer.hpp"
#include "runtime/pipelines.hpp"
#include "runtime/plan.hpp"

namespace vkbert {

/// Time of one dispatch in one run, with the work that the plan says it did.
struct DispatchTime {
    const Dispatch* dispatch;
    double seconds;
    double flops, bytes;
};

class Recording {
  public:
    struct Options {
        bool profile = false;         // timestamps around every dispatch, and a barrier before each
        double flops_per_submit = 0;  // cut into submits of at most about this much work; 0: by device class
        BufferRange arena{};          // memory for temporaries (an engine's); none: allocated here
    };
    /// Binds persistent storages (all of them), allocates the activation arena, compiles pipelines, writes
    /// descriptors and records. The plan is copied. Throws invalid_argument when a storage is not bound or
    /// too small.
    Recording(Device& device, PipelineCache& pipelines, Plan plan,
              const std::map<StorageId, BufferRange>& bound, const Options& options);
    Recording(Device& device, PipelineCache& pipelines, Plan plan,
              const std::map<StorageId, BufferRange>& bound)
        : Recording(device, pipelines, std::move(plan), bound, Options{}) {}
    ~Recording();
    Recording(const Recording&) = delete;

    /// Sets a run-time number for runs submitted from now on; at most the symbol's capacity. Not while a run
    /// is under way.
    void set(Extent symbol, uint32_t value);
    /// Submits one run; returns at once. Nothing is allocated and nothing but device_lost is thrown.
    uint64_t submit();
    void wait(uint64_t ticket) { device_.wait(ticket); }
    void run() { wait(submit()); }

    /// Records dispatches [first, first + count) into a command buffer of the caller's, with barriers between
    /// them and towards what ran before; edges towards the caller's own work are the caller's.
    void record(VkCommandBuffer commands, size_t first, size_t count) const;

    /// With Options::profile, after wait(): the times of the last run.
    std::vector<DispatchTime> times();
    const Plan& plan() const { return plan_; }
    uint32_t value(uint32_t symbol) const;
    /// Device memory this recording allocated: arena, counts and indirect arguments.
    static uint64_t planned_bytes(const Plan& plan);
    size_t submits_per_run() const { return commands_.size(); }

  private:
    struct Bound {
        const Pipeline* pipeline;
        VkDescriptorSet set;
        std::array<std::byte, 128> push;
        uint32_t push_size;
        bool indirect;
    };
    BufferRange locate(const Binding& binding) const;
    void create_descriptor_pool();
    void bind_dispatches();
    void write_groups();
    void record_all(double flops_per_submit);
    void record_one(VkCommandBuffer commands, size_t index) const;
    VkBufferView view(const Binding& binding);
    void release();

    Device& device_;
    PipelineCache& pipelines_;
    Plan plan_;
    std::map<StorageId, BufferRange> bound_;
    Options options_;
    Buffer arena_, control_;  // control: counts, then one VkDispatchIndirectCommand a dispatch
    BufferRange arena_range_;
    std::vector<uint32_t> values_;
    bool values_changed_ = true;
    std::vector<Bound> dispatches_;
    std::vector<VkBufferView> views_;
    VkDescriptorPool descriptors_ = VK_NULL_HANDLE;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::vector<VkCommandBuffer> commands_;
    VkQueryPool queries_ = VK_NULL_HANDLE;
    uint64_t last_ticket_ = 0;
};

}  // namespace vkbert
