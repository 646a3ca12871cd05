#include "bert/matrix_file.hpp"

#include <bit>

#include "runtime/error.hpp"

namespace vkbert {

static_assert(std::endian::native == std::endian::little, "both formats store little-endian numbers");

// The number of rows is known at the end only, so the header has room for any and is written again then.
static constexpr uint64_t header_size = 256;

MatrixFile::MatrixFile(const std::filesystem::path& path, MatrixFormat format)
    : file_(path), format_(format) {
    file_.write(std::string(header_size, ' '));
}

void MatrixFile::append(std::span<const float> rows, uint64_t columns) {
    if (rows_ == 0) columns_ = columns;
    if (columns == 0 || columns != columns_ || rows.size() % columns != 0)
        fail(ErrorCode::invalid_argument, "{} values in rows of {} for a matrix of {} columns", rows.size(),
             columns, columns_);
    file_.write(std::as_bytes(rows));
    rows_ += rows.size() / columns;
}

std::string MatrixFile::npy_header() const {
    std::string header("\x93NUMPY\x01\x00", 8);
    constexpr uint64_t length = header_size - 10;
    header += {char(length & 255), char(length >> 8)};
    header += fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows_, columns_);
    header.resize(header_size - 1, ' ');
    return header + '\n';
}

std::string MatrixFile::safetensors_header(uint64_t lengths) const {
    const uint64_t bytes = rows_ * columns_ * sizeof(float), length = header_size - 8;
    std::string header(reinterpret_cast<const char*>(&length), 8);
    header += fmt::format(R"({{"embeddings":{{"dtype":"F32","shape":[{},{}],"data_offsets":[0,{}]}})", rows_,
                          columns_, bytes);
    if (lengths != 0)
        header += fmt::format(R"(,"tokens":{{"dtype":"I64","shape":[{}],"data_offsets":[{},{}]}})", lengths,
                              bytes, bytes + lengths * sizeof(uint64_t));
    header += '}';
    header.resize(header_size, ' ');
    return header;
}

void MatrixFile::finish(std::span<const uint64_t> lengths) {
    if (format_ == MatrixFormat::safetensors) file_.write(std::as_bytes(lengths));
    file_.overwrite(0, format_ == MatrixFormat::npy ? npy_header() : safetensors_header(lengths.size()));
    file_.commit();
}

}  // namespace vkbert
