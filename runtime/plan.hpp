// The plan: a pass as a flat list of plain dispatches, made once, inspectable without a GPU.
//
// Ops append dispatches (runtime/ops.hpp). finish() places every temporary in one arena by its lifetime and
// finds the few dispatches that need a barrier before them. runtime/recording.hpp binds memory, records it
// once and replays it.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/capabilities.hpp"
#include "runtime/kernels.hpp"
#include "runtime/tuning.hpp"
#include "runtime/types.hpp"

namespace vkbert {

enum class Access : uint8_t { read = 1, write = 2, read_write = 3 };

struct Binding {
    Tensor tensor;
    Access access = Access::read;
};

/// Workgroups along one axis: ceil(value(extent) / divisor) * multiplier.
struct Groups {
    Extent extent = 1u;
    uint32_t divisor = 1;
    uint32_t multiplier = 1;
    constexpr uint32_t count(uint32_t value) const {
        return (value / divisor + (value % divisor != 0)) * multiplier;
    }
    constexpr uint32_t capacity() const { return count(extent.capacity); }
};

/// Work done, for the profiler and for cutting a plan into submits: per row of `extent`, plus a constant
/// part.
struct Work {
    Extent extent = 1u;
    double flops_per_row = 0, bytes_per_row = 0;
    double flops = 0, bytes = 0;
};

struct Dispatch {
    const Kernel* kernel = nullptr;
    std::vector<uint32_t>
        constants;  // specialization constants after the kernel's own: per call (K, epilogue, ...)
    std::vector<Binding> bindings;  // one per kernel->bindings
    std::array<std::byte, 96>
        push{};  // the op's push constants (addresses of `address` bindings go before them)
    uint32_t push_size = 0;
    std::array<Groups, 3> groups{};
    std::string label;  // "layer 3 ffn1": for the profiler and for messages
    Work work;
    bool barrier_before = false;  // set by finish()

    template <typename T>
    void set_push(const T& value) {
        static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 96);
        std::memcpy(push.data(), &value, sizeof(T));
        push_size = sizeof(T);
    }
};

/// Where a storage lives.
enum class StorageKind : uint8_t {
    temporary,   // placed by finish() in the activation arena
    persistent,  // bound to a buffer range by the recording: weights, inputs, results
};

struct Storage {
    std::string name;
    StorageKind kind = StorageKind::temporary;
    uint64_t bytes = 0;
    uint64_t offset = 0;  // temporary: in the activation arena, set by finish()
};

class Plan {
  public:
    /// Index 0 of the count buffer is unused (symbol 0 means constant).
    static constexpr uint32_t max_symbols = 16;

    /// Ops take the variant that `choices` forces, else the one that `tuning` knows for their shape, else the
    /// built-in tables' first that fits.
    explicit Plan(Capabilities capabilities, KernelChoices choices = {}, Tuning tuning = {});

    const Capabilities& capabilities() const { return capabilities_; }
    const KernelChoices& choices() const { return choices_; }
    const Tuning& tuning() const { return tuning_; }

    /// A run-time number (tokens, sequences, ...) of at most `capacity`. Returns its index in the count
    /// buffer.
    Extent symbol(std::string name, uint32_t capacity);

    /// Elements from row to row with which matmuls read (rows,columns) of `type` fastest: `columns`, on CPU
    /// drivers sometimes a few more.
    uint32_t activation_pitch(uint32_t columns, Type type) const;

    /// A matrix that lives from the first dispatch that writes it to the last that reads it.
    Tensor temporary(std::string name, Extent rows, uint32_t columns, Type type = Type::fp32);
    /// A matrix in memory that the caller binds before recording.
    Tensor persistent(std::string name, Extent rows, uint32_t columns, Type type = Type::fp32);
    /// A storage of `bytes` that the caller binds before recording, to be cut into tensors by tensor_at().
    StorageId persistent_storage(std::string name, uint64_t bytes);
    static Tensor tensor_at(StorageId storage, uint64_t offset, Extent rows, uint32_t columns, Type type);

    /// The count buffer (1, max_symbols) uint32: bound by the recording itself. Kernels that depend on a
    /// symbol read it.
    Tensor counts() const { return counts_; }

    /// Appends a dispatch after checking it: binding kinds and count, storage buffers against the device's,
    /// byte ranges against storages and max_storage_buffer_range, alignments, texel and group counts and push
    /// constants against the limits; that extents' symbols exist and that no temporary is read before it was
    /// written. Throws invalid_argument naming the label.
    void append(Dispatch dispatch);

    /// Prefix of the labels of dispatches appended from now on: "layer 3 ".
    void set_label_prefix(std::string prefix) { label_prefix_ = std::move(prefix); }

    /// Places temporaries and sets barrier_before. Call once, after the last append; nothing can be added
    /// afterwards.
    void finish();
    bool finished() const { return finished_; }

    const std::vector<Dispatch>& dispatches() const { return dispatches_; }
    /// Dispatches with a barrier before them, after finish().
    size_t barriers() const;
    const std::vector<Storage>& storages() const { return storages_; }
    const std::vector<std::string>& symbols() const { return symbols_; }
    uint32_t symbol_capacity(uint32_t symbol) const { return symbol_capacities_[symbol]; }
    /// Bytes of the activation arena, slack for kernels that read (never write) past a tensor's end included.
    uint64_t arena_bytes() const { return arena_bytes_; }
    /// The byte range a binding touches, after finish(). Ranges in different spaces never overlap.
    struct Range {
        uint32_t space;  // 0: the activation arena; else 1 + StorageId
        uint64_t begin, end;
    };
    Range range(const Binding& binding) const;
    /// One line a dispatch: index, barrier before it ('|'), label, kernel, groups and MFLOP at full capacity.
    std::string describe() const;

    /// Kernels that read past the end of a tensor (never using what they read) stay within this many bytes.
    static constexpr uint64_t read_slack = 256 << 10;

  private:
    void check_kernel(const Dispatch& dispatch) const;
    void check_extent(const std::string& what, Extent extent) const;
    void check_binding(const std::string& what, BindingKind kind, const Binding& binding) const;
    void place_temporaries();
    void find_hazards();

    Capabilities capabilities_;
    KernelChoices choices_;
    Tuning tuning_;
    std::vector<Dispatch> dispatches_;
    std::vector<Storage> storages_;
    std::vector<bool> written_;  // per storage: by a dispatch appended so far
    std::vector<std::string> symbols_;
    std::vector<uint32_t> symbol_capacities_;
    Tensor counts_;
    std::string label_prefix_;
    uint64_t arena_bytes_ = 0;
    bool finished_ = false;
};

}  // namespace vkbert
