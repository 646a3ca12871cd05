#include "tools/vkbert/array_file.hpp"

#include <fmt/format.h>

#include <bit>

#include "runtime/error.hpp"

namespace vkbert::tools {

static_assert(std::endian::native == std::endian::little, "both formats store little-endian numbers");

// The number of rows is known at the end only, so the header has room for any and is written again then.
static constexpr size_t npy_header_bytes = 128;
static constexpr size_t safetensors_header_bytes = 256;

ArrayFile::ArrayFile(const std::filesystem::path& path, const std::string& format)
    : file_(path), npy_(format == "npy") {
    file_.write(std::string(npy_ ? npy_header_bytes : 8 + safetensors_header_bytes, ' '));
}

void ArrayFile::write_row(std::span<const float> values) {
    if (rows_ == 0) columns_ = values.size();
    if (values.size() != columns_)
        fail(ErrorCode::failed, "rows of {} and {} values in one matrix", columns_, values.size());
    file_.write(std::as_bytes(values));
    ++rows_;
}

std::string ArrayFile::npy_header() const {
    std::string header("\x93NUMPY\x01\x00\x76\x00", 10);
    header += fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows_, columns_);
    header.resize(npy_header_bytes - 1, ' ');
    return header + '\n';
}

std::string ArrayFile::safetensors_header(size_t lengths) const {
    const uint64_t bytes = rows_ * columns_ * sizeof(float);
    std::string text = fmt::format(
        R"({{"embeddings":{{"dtype":"F32","shape":[{},{}],"data_offsets":[0,{}]}})", rows_, columns_, bytes);
    if (lengths != 0)
        text += fmt::format(R"(,"tokens":{{"dtype":"I64","shape":[{}],"data_offsets":[{},{}]}})", lengths,
                            bytes, bytes + lengths * sizeof(uint64_t));
    text += '}';
    text.resize(safetensors_header_bytes, ' ');
    std::string size(8, '\0');
    for (size_t i = 0; i < 8; ++i) size[i] = static_cast<char>(safetensors_header_bytes >> 8 * i & 255);
    return size + text;
}

void ArrayFile::finish(const std::vector<uint64_t>& lengths) {
    if (!npy_ && !lengths.empty()) file_.write(std::as_bytes(std::span(lengths)));
    file_.overwrite(0, npy_ ? npy_header() : safetensors_header(lengths.size()));
    file_.commit();
}

}  // namespace vkbert::tools
