#include "runtime/recording.hpp"

#include <algorithm>
#include <cstring>

namespace vkbert {

namespace {

constexpr uint64_t counts_bytes = 256;  // Plan::max_symbols counts, padded so that what follows is aligned

uint64_t control_bytes(const Plan& plan) {
    return counts_bytes + plan.dispatches().size() * sizeof(VkDispatchIndirectCommand);
}

/// Work per submit that no watchdog minds (2 s on Windows and phones, 5 s on Intel's xe) on the slowest of
/// its class.
double default_flops_per_submit(DeviceClass device_class) {
    switch (device_class) {
        case DeviceClass::discrete:
            return 2e11;
        case DeviceClass::integrated:
            return 2e10;
        case DeviceClass::cpu:
            return 1e300;  // no watchdog
        default:
            return 5e9;
    }
}

double work_of(const Work& work, double rows, double per_row, double constant) {
    return work.extent.constant() ? per_row * work.extent.capacity + constant : per_row * rows + constant;
}

void memory_barrier(const DeviceFunctions& f, VkCommandBuffer commands, VkPipelineStageFlags from,
                    VkAccessFlags written, VkPipelineStageFlags to, VkAccessFlags access) {
    const VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, written, access};
    f.vkCmdPipelineBarrier(commands, from, to, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

constexpr VkPipelineStageFlags compute = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
constexpr VkAccessFlags shader_access = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;

}  // namespace

uint64_t Recording::planned_bytes(const Plan& plan) {
    return plan.arena_bytes() + control_bytes(plan);
}

Recording::Recording(Device& device, PipelineCache& pipelines, Plan plan,
                     const std::map<StorageId, BufferRange>& bound, const Options& options)
    : device_(device), pipelines_(pipelines), plan_(std::move(plan)), bound_(bound), options_(options) {
    if (!plan_.finished()) fail(ErrorCode::invalid_argument, "a plan is recorded before finish()");
    control_ = Buffer(device, control_bytes(plan_), MemoryRole::upload);
    bound_[plan_.counts().storage] = {&control_, 0, counts_bytes};
    for (StorageId id = 0; id < plan_.storages().size(); ++id) {
        const Storage& s = plan_.storages()[id];
        if (s.kind != StorageKind::persistent) continue;
        const auto place = bound_.find(id);
        if (place == bound_.end() || !place->second.buffer)
            fail(ErrorCode::invalid_argument, "storage '{}' of the plan is not bound to memory", s.name);
        if (place->second.bytes < s.bytes)
            fail(ErrorCode::invalid_argument, "storage '{}' needs {} bytes and is bound to {}", s.name,
                 s.bytes, place->second.bytes);
    }
    if (options_.arena.buffer) {
        if (options_.arena.bytes < plan_.arena_bytes())
            fail(ErrorCode::invalid_argument, "the activation arena needs {} bytes and was given {}",
                 plan_.arena_bytes(), options_.arena.bytes);
        arena_range_ = options_.arena;
    } else {
        arena_ = Buffer(device, plan_.arena_bytes(), MemoryRole::device);
        arena_range_ = {&arena_, 0, arena_.bytes()};
    }
    values_.resize(Plan::max_symbols);
    for (uint32_t i = 1; i < plan_.symbols().size(); ++i) values_[i] = plan_.symbol_capacity(i);
    if (options_.flops_per_submit <= 0)
        options_.flops_per_submit = default_flops_per_submit(device.capabilities().device_class);
    try {
        bind_dispatches();
        write_groups();
        record_all(options_.flops_per_submit);
    } catch (...) {
        release();
        throw;
    }
}

Recording::~Recording() {
    release();
}

void Recording::release() {
    try {
        device_.wait(last_ticket_);
    } catch (const Error&) {  // a lost device has nothing to wait for
    }
    const auto& f = device_.functions();
    if (pool_) f.vkDestroyCommandPool(device_.handle(), pool_, nullptr);
    if (descriptors_) f.vkDestroyDescriptorPool(device_.handle(), descriptors_, nullptr);
    if (queries_) f.vkDestroyQueryPool(device_.handle(), queries_, nullptr);
    for (VkBufferView v : views_) f.vkDestroyBufferView(device_.handle(), v, nullptr);
}

BufferRange Recording::locate(const Binding& binding) const {
    const Tensor& t = binding.tensor;
    const Storage& s = plan_.storages()[t.storage];
    const BufferRange& base = s.kind == StorageKind::temporary ? arena_range_ : bound_.at(t.storage);
    const uint64_t offset = base.offset + t.offset + (s.kind == StorageKind::temporary ? s.offset : 0);
    return {base.buffer, offset, std::max<uint64_t>(t.bytes(), 4)};
}

VkBufferView Recording::view(const Binding& binding) {
    const BufferRange range = locate(binding);
    const bool half = binding.tensor.type == Type::fp16;
    const uint64_t texel = half ? 8 : 16;
    const VkBufferViewCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                      nullptr,
                                      0,
                                      range.buffer->handle(),
                                      half ? VK_FORMAT_R32G32_UINT : VK_FORMAT_R32G32B32A32_SFLOAT,
                                      range.offset,
                                      (range.bytes + texel - 1) / texel * texel};
    VkBufferView v = VK_NULL_HANDLE;
    device_.check(device_.functions().vkCreateBufferView(device_.handle(), &info, nullptr, &v),
                  "vkCreateBufferView");
    views_.push_back(v);
    return v;
}

void Recording::create_descriptor_pool() {
    uint32_t storage = 0, texel = 0;
    for (const Dispatch& d : plan_.dispatches())
        for (const BindingKind kind : d.kernel->bindings) {
            storage += kind == BindingKind::storage;
            texel += kind == BindingKind::texel;
        }
    const VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, std::max(storage, 1u)},
                                          {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, std::max(texel, 1u)}};
    const VkDescriptorPoolCreateInfo info{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                          nullptr,
                                          0,
                                          std::max<uint32_t>(uint32_t(plan_.dispatches().size()), 1),
                                          2,
                                          sizes};
    device_.check(device_.functions().vkCreateDescriptorPool(device_.handle(), &info, nullptr, &descriptors_),
                  "vkCreateDescriptorPool");
}

void Recording::bind_dispatches() {
    const auto& f = device_.functions();
    create_descriptor_pool();
    for (const Dispatch& d : plan_.dispatches()) {
        Bound b{};
        b.pipeline = &pipelines_.get(*d.kernel, d.constants, d.push_size);
        b.indirect = std::any_of(d.groups.begin(), d.groups.end(),
                                 [](const Groups& g) { return !g.extent.constant(); });
        const VkDescriptorSetAllocateInfo allocate{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, nullptr,
                                                   descriptors_, 1, &b.pipeline->set_layout};
        device_.check(f.vkAllocateDescriptorSets(device_.handle(), &allocate, &b.set),
                      "vkAllocateDescriptorSets");
        const size_t n = d.bindings.size();
        std::vector<VkDescriptorBufferInfo> buffers(n);
        std::vector<VkBufferView> views(n);
        std::vector<VkWriteDescriptorSet> writes;
        for (uint32_t i = 0; i < n; ++i) {
            const BufferRange range = locate(d.bindings[i]);
            if (d.kernel->bindings[i] == BindingKind::address) {
                const uint64_t address = range.buffer->address() + range.offset;
                std::memcpy(b.push.data() + b.push_size, &address, 8);
                b.push_size += 8;
                continue;
            }
            VkWriteDescriptorSet w{};
            w.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
            w.dstSet = b.set;
            w.dstBinding = i;
            w.descriptorCount = 1;
            if (d.kernel->bindings[i] == BindingKind::texel) {
                views[i] = view(d.bindings[i]);
                w.descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
                w.pTexelBufferView = &views[i];
            } else {
                // Whole words, and whole vec4s where kernels read vec4s: tensors are padded to 16 bytes by
                // their storage.
                const uint64_t rest = range.buffer->bytes() - range.offset;
                buffers[i] = {range.buffer->handle(), range.offset,
                              std::min((range.bytes + 15) / 16 * 16, rest)};
                w.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
                w.pBufferInfo = &buffers[i];
            }
            writes.push_back(w);
        }
        f.vkUpdateDescriptorSets(device_.handle(), uint32_t(writes.size()), writes.data(), 0, nullptr);
        std::memcpy(b.push.data() + b.push_size, d.push.data(), d.push_size);
        b.push_size += d.push_size;
        dispatches_.push_back(b);
    }
}

void Recording::set(Extent symbol, uint32_t value) {
    if (symbol.symbol == 0 || symbol.symbol >= plan_.symbols().size() ||
        value > plan_.symbol_capacity(symbol.symbol))
        fail(ErrorCode::invalid_argument, "{} is over the capacity of symbol {}", value, symbol.symbol);
    values_changed_ |= values_[symbol.symbol] != value;
    values_[symbol.symbol] = value;
}

uint32_t Recording::value(uint32_t symbol) const {
    return values_.at(symbol);
}

void Recording::write_groups() {
    std::memcpy(control_.mapped(), values_.data(), values_.size() * 4);
    auto* commands = reinterpret_cast<VkDispatchIndirectCommand*>(control_.mapped() + counts_bytes);
    for (size_t i = 0; i < dispatches_.size(); ++i) {
        const auto& groups = plan_.dispatches()[i].groups;
        auto count = [&](const Groups& g) {
            return g.extent.constant() ? g.capacity() : g.count(values_[g.extent.symbol]);
        };
        commands[i] = {count(groups[0]), count(groups[1]), count(groups[2])};
    }
    control_.flush(0, control_.bytes());
    values_changed_ = false;
}

void Recording::record_one(VkCommandBuffer commands, size_t index) const {
    const auto& f = device_.functions();
    const Bound& b = dispatches_[index];
    const Dispatch& d = plan_.dispatches()[index];
    f.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, b.pipeline->pipeline);
    f.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, b.pipeline->layout, 0, 1, &b.set, 0,
                              nullptr);
    if (b.push_size)
        f.vkCmdPushConstants(commands, b.pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, b.push_size,
                             b.push.data());
    if (b.indirect)
        f.vkCmdDispatchIndirect(commands, control_.handle(),
                                counts_bytes + index * sizeof(VkDispatchIndirectCommand));
    else
        f.vkCmdDispatch(commands, d.groups[0].capacity(), d.groups[1].capacity(), d.groups[2].capacity());
}

void Recording::record(VkCommandBuffer commands, size_t first, size_t count) const {
    const auto& f = device_.functions();
    if (first + count > dispatches_.size())
        fail(ErrorCode::invalid_argument, "recording past the end of a plan");
    for (size_t i = first; i < first + count; ++i) {
        if (i == first || plan_.dispatches()[i].barrier_before || queries_)
            memory_barrier(f, commands, compute | VK_PIPELINE_STAGE_TRANSFER_BIT,
                           VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, compute, shader_access);
        // Bottom of pipe: behind the barrier this is the end of the previous dispatch, i.e. the start of this
        // one.
        if (queries_)
            f.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries_, uint32_t(2 * i));
        record_one(commands, i);
        if (queries_)
            f.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries_,
                                  uint32_t(2 * i + 1));
    }
}

void Recording::record_all(double flops_per_submit) {
    const auto& f = device_.functions();
    const auto& list = plan_.dispatches();
    if (options_.profile && device_.capabilities().timestamp_bits && !list.empty()) {
        VkQueryPoolCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
        info.queryType = VK_QUERY_TYPE_TIMESTAMP;
        info.queryCount = uint32_t(2 * list.size());
        device_.check(f.vkCreateQueryPool(device_.handle(), &info, nullptr, &queries_), "vkCreateQueryPool");
    }
    const VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, nullptr, 0,
                                       device_.queue_family()};
    device_.check(f.vkCreateCommandPool(device_.handle(), &pool, nullptr, &pool_), "vkCreateCommandPool");
    size_t first = 0;
    do {
        size_t count = 0;
        double flops = 0;
        while (first + count < list.size()) {
            const Work& w = list[first + count].work;
            const double next = w.flops_per_row * w.extent.capacity + w.flops;
            if (count && flops + next > flops_per_submit) break;
            flops += next;
            ++count;
        }
        const VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, nullptr,
                                                   pool_, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 1};
        VkCommandBuffer commands = VK_NULL_HANDLE;
        device_.check(f.vkAllocateCommandBuffers(device_.handle(), &allocate, &commands),
                      "vkAllocateCommandBuffers");
        commands_.push_back(commands);
        const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, nullptr, 0,
                                             nullptr};
        device_.check(f.vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
        if (queries_ && count)
            f.vkCmdResetQueryPool(commands, queries_, uint32_t(2 * first), uint32_t(2 * count));
        record(commands, first, count);
        memory_barrier(f, commands, compute, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                       VK_ACCESS_HOST_READ_BIT);
        device_.check(f.vkEndCommandBuffer(commands), "vkEndCommandBuffer");
        first += count;
    } while (first < list.size());
}

uint64_t Recording::submit() {
    device_.wait(last_ticket_);  // counts and indirect arguments are read by the run under way
    if (values_changed_) write_groups();
    last_ticket_ = device_.submit(commands_);
    return last_ticket_;
}

std::vector<DispatchTime> Recording::times() {
    if (!queries_) return {};
    device_.wait(last_ticket_);
    const auto& list = plan_.dispatches();
    std::vector<uint64_t> stamps(2 * list.size());
    const VkResult result = device_.functions().vkGetQueryPoolResults(
        device_.handle(), queries_, 0, uint32_t(stamps.size()), stamps.size() * 8, stamps.data(), 8,
        VK_QUERY_RESULT_64_BIT);
    if (result == VK_NOT_READY)
        return {};  // some ARM drivers, whatever was waited for: timing is never a failure
    device_.check(result, "vkGetQueryPoolResults");
    const auto& c = device_.capabilities();
    const uint64_t mask = c.timestamp_bits >= 64 ? ~0ull : (1ull << c.timestamp_bits) - 1;
    std::vector<DispatchTime> times;
    for (size_t i = 0; i < list.size(); ++i) {
        const Work& w = list[i].work;
        const double rows = values_[w.extent.symbol];
        times.push_back(
            {&list[i], double((stamps[2 * i + 1] - stamps[2 * i]) & mask) * c.timestamp_period * 1e-9,
             work_of(w, rows, w.flops_per_row, w.flops), work_of(w, rows, w.bytes_per_row, w.bytes)});
    }
    return times;
}

}  // namespace vkbert
