#include "bert/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <unordered_set>
#include <utility>

#include "bert/json_text.hpp"
#include "runtime/error.hpp"

namespace vkbert {

static_assert(std::endian::native == std::endian::little,
              "tensor files are little-endian and are read in place");

namespace {

using nlohmann::json;

// The limit of the reference implementation.
constexpr uint64_t max_header = 100'000'000;

constexpr std::array<std::pair<DataType, std::string_view>, 15> type_names{{
    {DataType::boolean, "BOOL"},
    {DataType::u8, "U8"},
    {DataType::i8, "I8"},
    {DataType::f8_e5m2, "F8_E5M2"},
    {DataType::f8_e4m3, "F8_E4M3"},
    {DataType::i16, "I16"},
    {DataType::u16, "U16"},
    {DataType::f16, "F16"},
    {DataType::bf16, "BF16"},
    {DataType::i32, "I32"},
    {DataType::u32, "U32"},
    {DataType::f32, "F32"},
    {DataType::i64, "I64"},
    {DataType::u64, "U64"},
    {DataType::f64, "F64"},
}};

std::optional<DataType> type_from(std::string_view text) {
    for (const auto& [type, type_name] : type_names)
        if (type_name == text) return type;
    return std::nullopt;
}

std::optional<uint64_t> unsigned_integer(const json& value) {
    if (!value.is_number_unsigned()) return std::nullopt;
    return value.get<uint64_t>();
}

// One entry of the header: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}; returns it with its
// end.
std::pair<StoredTensor, uint64_t> parse_entry(const std::string& tensor, const json& entry,
                                              std::string_view file) {
    const auto bad = [&](std::string_view what) {
        fail(ErrorCode::invalid_input, "{}: tensor {}: {}", file, json(tensor).dump(), what);
    };
    if (!entry.is_object()) bad("its header entry is not an object");
    for (const auto& [key, value] : entry.items())
        if (key != "dtype" && key != "shape" && key != "data_offsets")
            bad("unknown field in its header entry");
    if (entry.size() != 3) bad("its header entry lacks dtype, shape or data_offsets");

    StoredTensor result;
    result.name = tensor;
    const json& type = entry["dtype"];
    const auto known = type.is_string() ? type_from(type.get_ref<const std::string&>()) : std::nullopt;
    if (!known) bad("unknown dtype " + type.dump());
    result.type = *known;

    const json& shape = entry["shape"];
    const json& offsets = entry["data_offsets"];
    if (!shape.is_array()) bad("shape is not an array");
    if (!offsets.is_array() || offsets.size() != 2) bad("data_offsets are not two numbers");
    uint64_t bytes = size_of(result.type);
    for (const json& extent : shape) {
        const auto value = unsigned_integer(extent);
        if (!value) bad("shape has an entry that is not a non-negative integer: " + extent.dump());
        result.shape.push_back(*value);
        if (__builtin_mul_overflow(bytes, *value, &bytes)) bad("shape overflows");
    }
    const auto begin = unsigned_integer(offsets[0]), end = unsigned_integer(offsets[1]);
    if (!begin || !end || *end < *begin) bad("data_offsets are not an ascending pair: " + offsets.dump());
    if (*end - *begin != bytes)
        bad(fmt::format("data_offsets span {} bytes, but {} of {} needs {}", *end - *begin,
                        shape_text(result.shape), name_of(result.type), bytes));
    result.offset = *begin;
    return {std::move(result), *end};
}

void check_metadata(const json& metadata, std::string_view file) {
    const bool texts =
        metadata.is_object() &&
        std::all_of(metadata.begin(), metadata.end(), [](const json& value) { return value.is_string(); });
    if (!texts) fail(ErrorCode::invalid_input, "{}: __metadata__ is not an object of strings", file);
}

}  // namespace

std::string_view name_of(DataType type) {
    for (const auto& [known, type_name] : type_names)
        if (known == type) return type_name;
    return "?";
}

std::string shape_text(const std::vector<uint64_t>& shape) {
    std::string text = "[";
    for (const uint64_t extent : shape) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", extent);
    return text + "]";
}

std::vector<StoredTensor> parse_safetensors(std::span<const std::byte> bytes, std::string_view name) {
    if (bytes.size() < 8)
        fail(ErrorCode::invalid_input, "{}: {} bytes are too few for a safetensors file", name, bytes.size());
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    if (length > max_header || length > bytes.size() - 8)
        fail(ErrorCode::invalid_input,
             "{}: not a safetensors file, or truncated: it claims a header of {} bytes in a file of {}", name,
             length, bytes.size());
    const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + 8, size_t(length));
    if (header.empty() || header.front() != '{')
        fail(ErrorCode::invalid_input, "{}: not a safetensors file: the header does not begin with '{{'",
             name);
    const json entries = parse_json(header, name);

    std::vector<std::pair<StoredTensor, uint64_t>> found;
    for (const auto& [tensor, entry] : entries.items()) {
        if (tensor == "__metadata__")
            check_metadata(entry, name);
        else
            found.push_back(parse_entry(tensor, entry, name));
    }
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        return std::pair(a.first.offset, a.second) < std::pair(b.first.offset, b.second);
    });
    uint64_t at = 0;
    std::vector<StoredTensor> tensors;
    tensors.reserve(found.size());
    for (auto& [tensor, end] : found) {
        if (tensor.offset != at)
            fail(ErrorCode::invalid_input, "{}: tensor {}: its data begin at {}, {} (byte {})", name,
                 json(tensor.name).dump(), tensor.offset,
                 tensor.offset < at ? "inside the tensor before" : "leaving a gap after the tensor before",
                 at);
        at = end;
        tensor.offset += 8 + length;
        tensors.push_back(std::move(tensor));
    }
    if (at != bytes.size() - 8 - length)
        fail(ErrorCode::invalid_input, "{}: {}: its tensors need {} bytes, {} follow the header", name,
             at > bytes.size() - 8 - length ? "truncated" : "too long", at, bytes.size() - 8 - length);
    return tensors;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<StoredTensor>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    uint64_t at = 0;
    for (const StoredTensor& tensor : tensors) {
        if (header.contains(tensor.name))
            fail(ErrorCode::invalid_argument, "{}: tensor '{}' is given twice", path.string(), tensor.name);
        const uint64_t end = at + tensor.elements() * size_of(tensor.type);
        header[tensor.name] = {
            {"dtype", name_of(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
        at = end;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    file_.write(std::as_bytes(std::span(&length, 1)));
    file_.write(text);
    size_ = file_.written() + at;
}

void SafetensorsWriter::finish() {
    if (file_.written() != size_)
        fail(ErrorCode::invalid_argument, "safetensors: {} bytes written, the header promises {}",
             file_.written(), size_);
    file_.commit();
}

}  // namespace vkbert
