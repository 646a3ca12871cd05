#include "runtime/plan.hpp"

#include <algorithm>
#include <iterator>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

// One place in memory that every kind of binding accepts, and a cache line or DRAM burst on every GPU.
constexpr uint64_t minimum_alignment = 256;

constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

uint64_t checked_bytes(const std::string& what, uint32_t rows, uint32_t pitch, uint32_t columns, Type type) {
    if (rows == 0 || columns == 0)
        fail(ErrorCode::invalid_argument, "{}: an empty tensor ({},{})", what, rows, columns);
    if (pitch < columns)
        fail(ErrorCode::invalid_argument, "{}: a pitch of {} below {} columns", what, pitch, columns);
    const uint64_t elements = uint64_t(rows - 1) * pitch + columns;
    if (elements > uint64_t(1) << 60)
        fail(ErrorCode::invalid_argument, "{}: ({},{}) is too large for any memory", what, rows, columns);
    return elements * size_of(type);
}

/// Groups of dispatches [first, last] that touch a temporary.
struct Lifetime {
    size_t first = SIZE_MAX, last = 0;
    bool used() const { return first != SIZE_MAX; }
    bool meets(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

struct Block {
    uint64_t begin, end;
};

/// The smallest gap between `taken` that holds `bytes`, or the end of them all.
uint64_t best_fit(std::vector<Block>& taken, uint64_t bytes, uint64_t alignment) {
    std::sort(taken.begin(), taken.end(), [](const Block& a, const Block& b) { return a.begin < b.begin; });
    uint64_t cursor = 0, best = UINT64_MAX, best_gap = UINT64_MAX;
    for (const Block& block : taken) {
        if (block.begin >= cursor + bytes && block.begin - cursor < best_gap) {
            best = cursor;
            best_gap = block.begin - cursor;
        }
        cursor = std::max(cursor, align_up(block.end, alignment));
    }
    return best != UINT64_MAX ? best : cursor;
}

bool overlap(const Plan::Range& a, const Plan::Range& b) {
    return a.space == b.space && a.begin < b.end && b.begin < a.end;
}

bool writes(Access access) {
    return access != Access::read;
}
bool reads(Access access) {
    return access != Access::write;
}

/// Each dispatch's group: those of one group need no barrier between them, and each group one before it.
template <typename RangeOf>
std::vector<size_t> barrier_groups(const std::vector<Dispatch>& dispatches, const RangeOf& range_of) {
    struct Touch {
        Plan::Range range;
        Access access;
    };
    std::vector<Touch> since_barrier, now;
    std::vector<size_t> groups;
    size_t group = 0;
    for (const Dispatch& d : dispatches) {
        now.clear();
        for (const Binding& b : d.bindings) now.push_back({range_of(b), b.access});
        const auto hazard = [&](const Touch& touch) {
            return std::any_of(since_barrier.begin(), since_barrier.end(), [&](const Touch& earlier) {
                return (writes(touch.access) || writes(earlier.access)) &&
                       overlap(touch.range, earlier.range);
            });
        };
        if (std::any_of(now.begin(), now.end(), hazard)) {
            ++group;
            since_barrier.clear();
        }
        groups.push_back(group);
        since_barrier.insert(since_barrier.end(), now.begin(), now.end());
    }
    return groups;
}

}  // namespace

Plan::Plan(Capabilities capabilities, KernelChoices choices, Tuning tuning)
    : capabilities_(std::move(capabilities)),
      choices_(std::move(choices)),
      tuning_(std::move(tuning)),
      symbols_{""},
      symbol_capacities_{1} {
    counts_ = persistent("counts", 1, max_symbols, Type::uint32);
}

Extent Plan::symbol(std::string name, uint32_t capacity) {
    if (finished_) fail(ErrorCode::invalid_argument, "symbol {}: the plan is finished", name);
    if (capacity == 0) fail(ErrorCode::invalid_argument, "symbol {}: a capacity of 0", name);
    if (symbols_.size() == max_symbols)
        fail(ErrorCode::invalid_argument, "symbol {}: a plan has at most {} symbols", name, max_symbols - 1);
    symbols_.push_back(std::move(name));
    symbol_capacities_.push_back(capacity);
    return {capacity, static_cast<uint32_t>(symbols_.size() - 1)};
}

uint32_t Plan::activation_pitch(uint32_t columns, Type type) const {
    // A matmul goes over some rows at once. Where these are a multiple of 2 KiB apart, they share a few lines
    // of a processor's first cache: lavapipe 26 multiplies (1024,3072) by (768,3072)^T at 68 GFLOP/s, with
    // rows a line further apart at 81, and LARGE's at 67 and 79.
    constexpr uint32_t conflict = 2048, line = 64;
    const auto size = uint32_t(size_of(type));
    const bool apart = capabilities_.device_class == DeviceClass::cpu && columns * size % conflict == 0;
    return columns + (apart ? line / size : 0);
}

Tensor Plan::temporary(std::string name, Extent rows, uint32_t columns, Type type) {
    if (finished_) fail(ErrorCode::invalid_argument, "temporary {}: the plan is finished", name);
    const uint64_t bytes = checked_bytes(name, rows.capacity, columns, columns, type);
    storages_.push_back({std::move(name), StorageKind::temporary, bytes, 0});
    written_.push_back(false);
    return tensor_at(static_cast<StorageId>(storages_.size() - 1), 0, rows, columns, type);
}

Tensor Plan::persistent(std::string name, Extent rows, uint32_t columns, Type type) {
    const uint64_t bytes = checked_bytes(name, rows.capacity, columns, columns, type);
    return tensor_at(persistent_storage(std::move(name), bytes), 0, rows, columns, type);
}

StorageId Plan::persistent_storage(std::string name, uint64_t bytes) {
    if (finished_) fail(ErrorCode::invalid_argument, "storage {}: the plan is finished", name);
    if (bytes == 0) fail(ErrorCode::invalid_argument, "storage {}: no bytes", name);
    storages_.push_back({std::move(name), StorageKind::persistent, bytes, 0});
    written_.push_back(true);  // by the caller
    return static_cast<StorageId>(storages_.size() - 1);
}

Tensor Plan::tensor_at(StorageId storage, uint64_t offset, Extent rows, uint32_t columns, Type type) {
    Tensor t;
    t.storage = storage;
    t.offset = offset;
    t.rows = rows;
    t.columns = columns;
    t.pitch = columns;
    t.type = type;
    return t;
}

void Plan::append(Dispatch dispatch) {
    dispatch.label = label_prefix_ + dispatch.label;
    const std::string& label = dispatch.label;
    if (finished_) fail(ErrorCode::invalid_argument, "{}: the plan is finished", label);
    check_kernel(dispatch);
    for (size_t i = 0; i < dispatch.bindings.size(); ++i)
        check_binding(fmt::format("{}: binding {}", label, i), dispatch.kernel->bindings[i],
                      dispatch.bindings[i]);
    for (const Binding& b : dispatch.bindings) {
        const Storage& storage = storages_[b.tensor.storage];
        if (reads(b.access) && storage.kind == StorageKind::temporary && !written_[b.tensor.storage])
            fail(ErrorCode::invalid_argument, "{}: reads {}, which nothing has written", label, storage.name);
    }
    for (const Binding& b : dispatch.bindings)
        if (writes(b.access)) written_[b.tensor.storage] = true;
    dispatch.barrier_before = false;
    dispatches_.push_back(std::move(dispatch));
}

void Plan::check_kernel(const Dispatch& d) const {
    if (!d.kernel) fail(ErrorCode::invalid_argument, "{}: no kernel", d.label);
    if (d.bindings.size() != d.kernel->bindings.size())
        fail(ErrorCode::invalid_argument, "{}: {} bindings, kernel {} {} has {}", d.label, d.bindings.size(),
             d.kernel->op, d.kernel->name, d.kernel->bindings.size());
    if (const uint32_t buffers = storage_buffers(*d.kernel); buffers > capabilities_.max_storage_buffers)
        fail(ErrorCode::invalid_argument, "{}: {} storage buffers, the device has {}", d.label, buffers,
             capabilities_.max_storage_buffers);
    const uint64_t addresses =
        std::count(d.kernel->bindings.begin(), d.kernel->bindings.end(), BindingKind::address);
    if (d.push_size > d.push.size() || d.push_size + 8 * addresses > capabilities_.max_push_constants)
        fail(ErrorCode::invalid_argument,
             "{}: {} bytes of push constants and {} addresses, the device has {} bytes", d.label, d.push_size,
             addresses, capabilities_.max_push_constants);
    check_extent(d.label, d.work.extent);
    for (size_t axis = 0; axis < 3; ++axis) {
        const Groups& g = d.groups[axis];
        check_extent(d.label, g.extent);
        if (g.divisor == 0)
            fail(ErrorCode::invalid_argument, "{}: groups divided by 0 on axis {}", d.label, axis);
        const uint64_t steps = (uint64_t(g.extent.capacity) + g.divisor - 1) / g.divisor;
        const uint32_t most = capabilities_.max_workgroup_count[axis];
        if (g.multiplier != 0 && steps > most / g.multiplier)
            fail(ErrorCode::invalid_argument, "{}: {} x {} workgroups on axis {}, the device has {}", d.label,
                 steps, g.multiplier, axis, most);
    }
}

void Plan::check_extent(const std::string& what, Extent extent) const {
    if (extent.symbol >= symbols_.size())
        fail(ErrorCode::invalid_argument, "{}: the plan has no symbol {}", what, extent.symbol);
}

void Plan::check_binding(const std::string& what, BindingKind kind, const Binding& binding) const {
    const Tensor& t = binding.tensor;
    if (t.storage >= storages_.size())
        fail(ErrorCode::invalid_argument, "{}: the plan has no storage {}", what, t.storage);
    const Storage& storage = storages_[t.storage];
    check_extent(what, t.rows);
    const uint64_t bytes = checked_bytes(what, t.rows.capacity, t.pitch, t.columns, t.type);
    if (t.offset > storage.bytes || bytes > storage.bytes - t.offset)
        fail(ErrorCode::invalid_argument, "{}: bytes {} to {} of {}, which has {}", what, t.offset,
             t.offset + bytes, storage.name, storage.bytes);
    if (kind == BindingKind::storage) {
        if (bytes > capabilities_.max_storage_buffer_range)
            fail(ErrorCode::invalid_argument, "{}: {} bytes of {}, maxStorageBufferRange is {}", what, bytes,
                 storage.name, capabilities_.max_storage_buffer_range);
        if (t.offset % capabilities_.storage_alignment != 0)
            fail(ErrorCode::invalid_argument, "{}: offset {} in {}, minStorageBufferOffsetAlignment is {}",
                 what, t.offset, storage.name, capabilities_.storage_alignment);
    } else if (kind == BindingKind::texel) {
        const uint64_t texel_bytes = 4 * size_of(t.type);
        const uint64_t texels = (bytes + texel_bytes - 1) / texel_bytes;
        if (texels > capabilities_.max_texel_elements)
            fail(ErrorCode::invalid_argument, "{}: {} texels of {}, maxTexelBufferElements is {}", what,
                 texels, storage.name, capabilities_.max_texel_elements);
        if (t.offset % capabilities_.texel_alignment != 0)
            fail(ErrorCode::invalid_argument, "{}: offset {} in {}, minTexelBufferOffsetAlignment is {}",
                 what, t.offset, storage.name, capabilities_.texel_alignment);
    }
}

Plan::Range Plan::range(const Binding& binding) const {
    const Tensor& t = binding.tensor;
    const Storage& storage = storages_[t.storage];
    const bool temporary = storage.kind == StorageKind::temporary;
    const uint64_t begin = (temporary ? storage.offset : 0) + t.offset;
    return {temporary ? 0 : 1 + t.storage, begin, begin + t.bytes()};
}

void Plan::finish() {
    if (finished_) fail(ErrorCode::invalid_argument, "the plan is finished already");
    place_temporaries();
    find_hazards();
    finished_ = true;
}

void Plan::place_temporaries() {
    // A place is taken for whole groups of dispatches that could run at the same time: what moves in earlier
    // would put a barrier between them.
    const std::vector<size_t> groups = barrier_groups(dispatches_, [](const Binding& b) {
        return Range{b.tensor.storage, b.tensor.offset, b.tensor.offset + b.tensor.bytes()};
    });
    std::vector<Lifetime> lifetimes(storages_.size());
    for (size_t i = 0; i < dispatches_.size(); ++i)
        for (const Binding& b : dispatches_[i].bindings) {
            Lifetime& life = lifetimes[b.tensor.storage];
            life.first = std::min(life.first, groups[i]);
            life.last = groups[i];
        }
    std::vector<StorageId> order;
    for (StorageId id = 0; id < storages_.size(); ++id)
        if (storages_[id].kind == StorageKind::temporary && lifetimes[id].used()) order.push_back(id);
    // Largest first: small ones fill the gaps that large ones leave (Pisarchyk & Lee 2020, "greedy by size").
    std::stable_sort(order.begin(), order.end(),
                     [&](StorageId a, StorageId b) { return storages_[a].bytes > storages_[b].bytes; });

    const uint64_t alignment = std::max({minimum_alignment, uint64_t(capabilities_.storage_alignment),
                                         uint64_t(capabilities_.texel_alignment)});
    uint64_t end = 0;
    std::vector<Block> taken;
    for (size_t i = 0; i < order.size(); ++i) {
        Storage& storage = storages_[order[i]];
        taken.clear();
        for (size_t j = 0; j < i; ++j) {
            const Storage& other = storages_[order[j]];
            if (lifetimes[order[i]].meets(lifetimes[order[j]]))
                taken.push_back({other.offset, other.offset + other.bytes});
        }
        storage.offset = best_fit(taken, storage.bytes, alignment);
        end = std::max(end, storage.offset + storage.bytes);
    }
    arena_bytes_ = order.empty() ? 0 : align_up(end, alignment) + read_slack;
}

void Plan::find_hazards() {
    const std::vector<size_t> groups =
        barrier_groups(dispatches_, [this](const Binding& b) { return range(b); });
    for (size_t i = 0; i < dispatches_.size(); ++i)
        dispatches_[i].barrier_before = i > 0 && groups[i] != groups[i - 1];
}

size_t Plan::barriers() const {
    return size_t(std::ranges::count_if(dispatches_, &Dispatch::barrier_before));
}

std::string Plan::describe() const {
    const auto groups = [&](const Groups& g) {
        if (g.extent.constant()) return fmt::format("{}", g.capacity());
        std::string text = symbols_[g.extent.symbol];
        if (g.divisor != 1) text += fmt::format("/{}", g.divisor);
        if (g.multiplier != 1) text += fmt::format("*{}", g.multiplier);
        return fmt::format("{}<={}", text, g.capacity());
    };
    uint64_t temporaries = 0;
    for (const Storage& s : storages_) temporaries += s.kind == StorageKind::temporary ? s.bytes : 0;
    std::string text = fmt::format("{} dispatches, {} barriers, arena {} bytes for {} bytes of temporaries\n",
                                   dispatches_.size(), barriers(), arena_bytes_, temporaries);
    fmt::format_to(std::back_inserter(text), "{:>4}   {:<28} {:<24} {:<36} {:>9}\n", "", "label", "kernel",
                   "groups", "MFLOP");
    for (size_t i = 0; i < dispatches_.size(); ++i) {
        const Dispatch& d = dispatches_[i];
        const std::string kernel = fmt::format("{} {}", d.kernel->op, d.kernel->name);
        const std::string grid =
            fmt::format("{} x {} x {}", groups(d.groups[0]), groups(d.groups[1]), groups(d.groups[2]));
        const double flops = d.work.flops + d.work.flops_per_row * d.work.extent.capacity;
        fmt::format_to(std::back_inserter(text), "{:>4} {} {:<28} {:<24} {:<36} {:>9.3f}\n", i,
                       d.barrier_before ? '|' : ' ', d.label, kernel, grid, flops * 1e-6);
    }
    return text;
}

}  // namespace vkbert
