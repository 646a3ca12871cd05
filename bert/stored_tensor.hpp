// Tensors as they lie in files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vkbert {

/// Element types, in safetensors' spelling where names are concerned. f8 types are told apart only by name
/// there and are carried as bytes.
enum class DataType : uint8_t {
    boolean,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    i64,
    u64,
    f64
};

/// Bytes of one element.
constexpr uint64_t size_of(DataType type) {
    return type <= DataType::f8_e4m3 ? 1 : type <= DataType::bf16 ? 2 : type <= DataType::f32 ? 4 : 8;
}
/// Whether Checkpoint::read converts from it.
constexpr bool floating(DataType type) {
    return type == DataType::f16 || type == DataType::bf16 || type == DataType::f32 || type == DataType::f64;
}
/// "F32", "BOOL", ...
std::string_view name_of(DataType type);

/// Where a tensor lies in a file: row-major unless `strides` says otherwise.
struct StoredTensor {
    std::string name;
    DataType type = DataType::f32;
    std::vector<uint64_t> shape = {};    // empty: a scalar
    std::vector<uint64_t> strides = {};  // in elements, one an axis; empty: row-major without gaps
    uint64_t offset = 0;                 // bytes from the start of the file
    uint32_t file = 0;                   // which file of a sharded checkpoint

    uint64_t elements() const {
        uint64_t count = 1;
        for (const uint64_t extent : shape) count *= extent;
        return count;
    }
};

/// "[30522, 768]"
std::string shape_text(const std::vector<uint64_t>& shape);

}  // namespace vkbert
