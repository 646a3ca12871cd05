#include "bert/checkpoint.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <type_traits>
#include <utility>

#include "bert/half.hpp"
#include "bert/json_text.hpp"
#include "bert/safetensors.hpp"
#include "bert/torch_file.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace fs = std::filesystem;

namespace {

// Pages are given back this often while a tensor is copied out.
constexpr uint64_t chunk_bytes = uint64_t(4) << 20;

// Data in a file need not be aligned for its type: a header of any length comes before it.
template <typename T>
T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
}

template <typename Out>
Out element(const std::byte* at, DataType type) {
    float value = 0;
    switch (type) {
        case DataType::f64:
            value = float(load<double>(at));
            break;
        case DataType::f32:
            value = load<float>(at);
            break;
        case DataType::f16:
            value = fp16_to_fp32(load<uint16_t>(at));
            break;
        default:
            value = bf16_to_fp32(load<uint16_t>(at));
            break;
    }
    if constexpr (std::is_same_v<Out, float>)
        return value;
    else
        return fp32_to_fp16(value);
}

// The type is a template argument so that each loop has one conversion in it and vectorises.
template <DataType type, typename Out>
void convert_as(const std::byte* in, Out* out, size_t count) {
    for (size_t i = 0; i < count; ++i) out[i] = element<Out>(in + i * size_of(type), type);
}

template <typename Out>
void convert(const std::byte* in, DataType type, Out* out, size_t count) {
    constexpr DataType same = std::is_same_v<Out, float> ? DataType::f32 : DataType::f16;
    if (type == same) {
        std::memcpy(out, in, count * sizeof(Out));
        return;
    }
    switch (type) {
        case DataType::f64:
            return convert_as<DataType::f64>(in, out, count);
        case DataType::f32:
            return convert_as<DataType::f32>(in, out, count);
        case DataType::f16:
            return convert_as<DataType::f16>(in, out, count);
        default:
            return convert_as<DataType::bf16>(in, out, count);
    }
}

// Numbers that are not finite have all bits of their exponent set. Without a branch, so that it vectorises.
template <typename Bits>
bool finite_as(const std::byte* in, size_t count, Bits exponent) {
    bool fine = true;
    for (size_t i = 0; i < count; ++i) fine &= (load<Bits>(in + i * sizeof(Bits)) & exponent) != exponent;
    return fine;
}

bool finite(const std::byte* in, DataType type, size_t count) {
    switch (type) {
        case DataType::f64:
            return finite_as<uint64_t>(in, count, 0x7ff0000000000000);
        case DataType::f32:
            return finite_as<uint32_t>(in, count, 0x7f800000);
        case DataType::f16:
            return finite_as<uint16_t>(in, count, 0x7c00);
        default:
            return finite_as<uint16_t>(in, count, 0x7f80);
    }
}

// Position of the row-major element `index` in a strided tensor, in elements.
uint64_t strided_position(const StoredTensor& tensor, uint64_t index) {
    uint64_t position = 0;
    for (size_t axis = tensor.shape.size(); axis-- > 0;) {
        position += index % tensor.shape[axis] * tensor.strides[axis];
        index /= tensor.shape[axis];
    }
    return position;
}

// The shard names of an index file and, by tensor, which shard holds it.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
    const nlohmann::json json = read_json_object(index);
    const auto map = json.find("weight_map");
    if (map == json.end() || !map->is_object() || map->empty())
        fail(ErrorCode::invalid_input, "{}: weight_map is not an object with entries", index.string());
    std::map<std::string, std::string> shards;
    for (const auto& [tensor, shard] : map->items()) {
        const std::string name = shard.is_string() ? shard.get<std::string>() : "";
        // Shards lie beside the index: nothing in a downloaded file may point anywhere else.
        if (name.empty() || name == "." || name == ".." || name.find_first_of("/\\") != std::string::npos ||
            std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20; }))
            fail(ErrorCode::invalid_input, "{}: weight_map of {}: {} is not a file name", index.string(),
                 nlohmann::json(tensor).dump(), shard.dump());
        shards[tensor] = name;
    }
    return shards;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path) {
    fs::path file = path;
    std::error_code error;
    if (fs::is_directory(path, error)) {
        constexpr const char* names[] = {"model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin", "pytorch_model.bin.index.json"};
        const auto* const name = std::find_if(std::begin(names), std::end(names), [&](const char* candidate) {
            return fs::exists(fs::symlink_status(path / candidate, error));
        });
        if (name == std::end(names))
            fail(ErrorCode::invalid_input, "{}: has neither model.safetensors nor pytorch_model.bin",
                 path.string());
        file = path / *name;
    }
    Checkpoint checkpoint(file.string());
    if (file.extension() == ".json")
        checkpoint.add_shards(file);
    else
        checkpoint.add_file(file);
    return checkpoint;
}

Checkpoint Checkpoint::from_memory(std::span<const std::byte> bytes, std::string name) {
    Checkpoint checkpoint(name);
    checkpoint.files_.push_back({std::move(name), nullptr, bytes});
    checkpoint.add_tensors(parse_safetensors(bytes, checkpoint.name_));
    return checkpoint;
}

void Checkpoint::add_file(const fs::path& path) {
    auto mapped = std::make_unique<MappedFile>(path);
    const std::span<const std::byte> bytes = mapped->bytes();
    files_.push_back({path.string(), std::move(mapped), bytes});
    const bool torch = path.extension() == ".bin" || path.extension() == ".pt" || path.extension() == ".pth";
    add_tensors(torch ? parse_torch_file(bytes, path.string()) : parse_safetensors(bytes, path.string()));
}

void Checkpoint::add_shards(const fs::path& index) {
    const std::map<std::string, std::string> weight_map = read_weight_map(index);
    std::map<std::string, uint32_t> shards;
    for (const auto& [tensor, shard] : weight_map) shards.emplace(shard, 0);
    for (auto& [shard, file] : shards) {
        file = uint32_t(files_.size());
        add_file(index.parent_path() / shard);
    }
    for (const auto& [tensor, shard] : weight_map) {
        const StoredTensor* stored = find(tensor);
        if (!stored || stored->file != shards[shard])
            fail(ErrorCode::invalid_input, "{}: tensor {} is not in {} as weight_map says", index.string(),
                 nlohmann::json(tensor).dump(), shard);
    }
}

void Checkpoint::add_tensors(std::vector<StoredTensor> tensors) {
    for (StoredTensor& tensor : tensors) {
        tensor.file = uint32_t(files_.size() - 1);
        if (!by_name_.emplace(tensor.name, tensors_.size()).second)
            fail(ErrorCode::invalid_input, "{}: tensor '{}' is in another file too", files_.back().name,
                 tensor.name);
        tensors_.push_back(std::move(tensor));
    }
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
    const auto found = by_name_.find(std::string(name));
    return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

uint64_t Checkpoint::file_bytes() const {
    uint64_t sum = 0;
    for (const File& file : files_) sum += file.bytes.size();
    return sum;
}

void Checkpoint::check_range(const StoredTensor& tensor, uint64_t first, uint64_t count) const {
    const uint64_t elements = tensor.elements();
    if (first > elements || count > elements - first)
        fail(ErrorCode::invalid_argument, "{}: tensor '{}' has {} elements; [{}, {}) are asked for",
             file_of(tensor), tensor.name, elements, first, first + count);
    if (!floating(tensor.type))
        fail(ErrorCode::unsupported, "{}: tensor '{}' is {}, not floating-point", file_of(tensor),
             tensor.name, name_of(tensor.type));
}

void Checkpoint::require_finite(const StoredTensor& tensor, uint64_t first, uint64_t count) const {
    check_range(tensor, first, count);
    const std::byte* const data = files_[tensor.file].bytes.data() + tensor.offset;
    const uint64_t width = size_of(tensor.type);
    bool fine = true;
    if (tensor.strides.empty()) fine = finite(data + first * width, tensor.type, count);
    for (uint64_t i = first; !tensor.strides.empty() && i < first + count; ++i)
        fine &= finite(data + strided_position(tensor, i) * width, tensor.type, 1);
    if (!fine)
        fail(ErrorCode::invalid_input, "{}: tensor '{}' has values that are not finite (NaN or infinity)",
             file_of(tensor), tensor.name);
}

template <typename Out>
void Checkpoint::copy(const StoredTensor& tensor, uint64_t first, std::span<Out> out) const {
    check_range(tensor, first, out.size());
    const File& file = files_[tensor.file];
    const uint64_t width = size_of(tensor.type);
    if (!tensor.strides.empty()) {
        for (size_t i = 0; i < out.size(); ++i)
            out[i] = element<Out>(
                file.bytes.data() + tensor.offset + strided_position(tensor, first + i) * width, tensor.type);
        return;
    }
    const size_t chunk = size_t(chunk_bytes / width);
    for (size_t done = 0; done < out.size(); done += chunk) {
        const size_t count = std::min(chunk, out.size() - done);
        const uint64_t offset = tensor.offset + (first + done) * width;
        convert(file.bytes.data() + offset, tensor.type, out.data() + done, count);
        // From the page that holds the first byte on: the chunk before ended inside it.
        if (file.mapped) file.mapped->drop(offset > 4096 ? offset - 4096 : 0, count * width + 4096);
    }
}

void Checkpoint::read(const StoredTensor& tensor, uint64_t first, std::span<float> out) const {
    copy(tensor, first, out);
}

void Checkpoint::read_fp16(const StoredTensor& tensor, uint64_t first, std::span<uint16_t> out) const {
    copy(tensor, first, out);
}

std::span<const std::byte> Checkpoint::bytes(const StoredTensor& tensor) const {
    if (!tensor.strides.empty())
        fail(ErrorCode::unsupported, "{}: tensor '{}' does not lie row-major", file_of(tensor), tensor.name);
    return files_[tensor.file].bytes.subspan(size_t(tensor.offset),
                                             size_t(tensor.elements() * size_of(tensor.type)));
}

void Checkpoint::drop(const StoredTensor& tensor) const noexcept {
    if (!files_[tensor.file].mapped) return;
    uint64_t last = 1;
    for (size_t axis = 0; axis < tensor.shape.size(); ++axis)
        last = tensor.strides.empty() ? tensor.elements()
                                      : last + (tensor.shape[axis] - 1) * tensor.strides[axis];
    files_[tensor.file].mapped->drop(tensor.offset, last * size_of(tensor.type));
}

}  // namespace vkbert
