// Plain data shared by the plan, the ops and the recording: element types, extents and tensors.
#pragma once

#include <cstdint>
#include <string_view>

namespace vkbert {

enum class Type : uint8_t { fp32, fp16, uint32 };

constexpr uint32_t size_of(Type type) {
    return type == Type::fp16 ? 2u : 4u;
}
constexpr std::string_view name_of(Type type) {
    return type == Type::fp32 ? "fp32" : type == Type::fp16 ? "fp16" : "uint32";
}

/// A number of rows. The plan is recorded once for `capacity`; the actual number is read by the kernels at
/// run time from the plan's count buffer at index `symbol`. Symbol 0, where the buffer holds 0, means
/// constant: the number is always `capacity`.
struct Extent {
    uint32_t capacity = 0;
    uint32_t symbol = 0;

    constexpr Extent() = default;
    constexpr Extent(uint32_t constant) : capacity(constant) {}
    constexpr Extent(uint32_t capacity_, uint32_t symbol_) : capacity(capacity_), symbol(symbol_) {}
    constexpr bool constant() const { return symbol == 0; }
    friend constexpr bool operator==(Extent, Extent) = default;
};

/// Names a range of memory within a plan: either a temporary, which Plan::finish() places in the activation
/// arena, or something persistent (weights, inputs, outputs) that the recording binds to a buffer.
using StorageId = uint32_t;

/// A matrix (rows, columns) of `type`, row-major, `pitch` elements from row to row, `offset` bytes into its
/// storage. Vectors are one row. Anything with more axes is packed: activations are (T,H),
/// queries/keys/values (T,3H).
struct Tensor {
    StorageId storage = 0;
    uint64_t offset = 0;
    Extent rows;
    uint32_t columns = 0;
    uint32_t pitch = 0;
    Type type = Type::fp32;

    /// Bytes from the first to one past the last element at full capacity.
    constexpr uint64_t bytes() const {
        if (rows.capacity == 0) return 0;
        return (uint64_t(rows.capacity - 1) * pitch + columns) * size_of(type);
    }
    /// Columns [first, first + count) of every row.
    constexpr Tensor columns_at(uint32_t first, uint32_t count) const {
        Tensor t = *this;
        t.offset += uint64_t(first) * size_of(type);
        t.columns = count;
        return t;
    }
    /// Rows [first, first + count); only of a tensor whose number of rows is constant.
    constexpr Tensor rows_at(uint32_t first, uint32_t count) const {
        Tensor t = *this;
        t.offset += uint64_t(first) * pitch * size_of(type);
        t.rows = count;
        return t;
    }
};

}  // namespace vkbert
