#include "bert/torch_file.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "bert/pickle.hpp"
#include "bert/zip_directory.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

// What torch.save wrote before PyTorch 1.6 begins with a pickle of this number: 0x1950a86a20f9469cfc6c.
constexpr char old_magic[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

// "archive" of the one entry "archive/data.pkl".
std::string find_archive(const std::map<std::string, ZipEntry>& entries, std::string_view name) {
    constexpr std::string_view pickle = "/data.pkl";
    for (const auto& [entry, place] : entries)
        if (entry.ends_with(pickle) && entry.find('/') == entry.size() - pickle.size())
            return entry.substr(0, entry.size() - pickle.size());
    fail(ErrorCode::invalid_input, "{}: a zip archive, but not one of torch.save: it has no data.pkl", name);
}

bool is_row_major(const PickledTensor& tensor) {
    uint64_t stride = 1;
    for (size_t axis = tensor.shape.size(); axis-- > 0;) {
        if (tensor.shape[axis] != 1 && tensor.strides[axis] != stride) return false;
        stride *= tensor.shape[axis];
    }
    return true;
}

// Every element must lie in the storage, and no more of them than the storage has.
void check_extent(const PickledTensor& tensor, std::string_view name) {
    uint64_t elements = 1, last = tensor.first;
    bool overflow = false;
    for (const uint64_t extent : tensor.shape)
        overflow |= __builtin_mul_overflow(elements, extent, &elements);
    for (size_t axis = 0; axis < tensor.shape.size() && elements != 0 && !overflow; ++axis) {
        uint64_t reach = 0;
        overflow |= __builtin_mul_overflow(tensor.shape[axis] - 1, tensor.strides[axis], &reach);
        overflow |= __builtin_add_overflow(last, reach, &last);
    }
    const bool fits =
        elements == 0 || (last < tensor.storage_elements && elements <= tensor.storage_elements);
    if (overflow || !fits)
        fail(ErrorCode::invalid_input,
             "{}: tensor '{}' of shape {} reaches beyond its storage of {} elements", name, tensor.name,
             shape_text(tensor.shape), tensor.storage_elements);
}

}  // namespace

std::vector<StoredTensor> parse_torch_file(std::span<const std::byte> bytes, std::string_view name) {
    constexpr size_t magic_size = sizeof old_magic - 1;
    if (bytes.size() >= magic_size && std::memcmp(bytes.data(), old_magic, magic_size) == 0)
        fail(ErrorCode::unsupported,
             "{}: saved in the format before PyTorch 1.6; load and save it again with a newer PyTorch", name);
    const std::map<std::string, ZipEntry> entries = read_zip_directory(bytes, name);
    const std::string archive = find_archive(entries, name);
    if (const auto order = entries.find(archive + "/byteorder"); order != entries.end())
        if (order->second.size != 6 || std::memcmp(bytes.data() + order->second.offset, "little", 6) != 0)
            fail(ErrorCode::unsupported, "{}: its byte order is not little-endian", name);

    const ZipEntry pickle = entries.at(archive + "/data.pkl");
    std::vector<StoredTensor> tensors;
    for (PickledTensor& pickled : read_pickled_tensors(bytes.subspan(pickle.offset, pickle.size), name)) {
        const auto storage = entries.find(archive + "/data/" + std::string(pickled.storage));
        // Divided, not multiplied: the number of elements is not to be trusted.
        if (storage == entries.end() || storage->second.size % size_of(pickled.type) != 0 ||
            storage->second.size / size_of(pickled.type) != pickled.storage_elements)
            fail(ErrorCode::invalid_input,
                 "{}: the storage of tensor '{}' is missing or has not the size it claims", name,
                 pickled.name);
        check_extent(pickled, name);
        StoredTensor tensor;
        tensor.name = std::move(pickled.name);
        tensor.type = pickled.type;
        const bool empty =
            std::find(pickled.shape.begin(), pickled.shape.end(), uint64_t(0)) != pickled.shape.end();
        if (!empty && !is_row_major(pickled)) tensor.strides = std::move(pickled.strides);
        tensor.shape = std::move(pickled.shape);
        tensor.offset = storage->second.offset + (empty ? 0 : pickled.first * size_of(tensor.type));
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

}  // namespace vkbert
