#include "bert/matrix_file.hpp"

#include <cstring>
#include <string>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

// Both headers are padded with blanks to this size, so that the number of rows can be filled in at the end.
constexpr size_t header_size = 192;

std::string npy_header(uint64_t rows, uint64_t columns) {
    std::string header("\x93NUMPY\x01\x00", 8);
    const uint16_t length = uint16_t(header_size - 10);
    header.append(reinterpret_cast<const char*>(&length), 2);
    header += fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
    header.resize(header_size - 1, ' ');
    return header + '\n';
}

std::string safetensors_header(uint64_t rows, uint64_t columns) {
    const uint64_t length = header_size - 8;
    std::string header(reinterpret_cast<const char*>(&length), 8);
    header += fmt::format(R"({{"embeddings":{{"dtype":"F32","shape":[{},{}],"data_offsets":[0,{}]}}}})", rows,
                          columns, rows * columns * sizeof(float));
    header.resize(header_size, ' ');
    return header;
}

std::string header_of(MatrixFormat format, uint64_t rows, uint64_t columns) {
    return format == MatrixFormat::npy ? npy_header(rows, columns) : safetensors_header(rows, columns);
}

}  // namespace

MatrixFile::MatrixFile(const std::filesystem::path& path, uint64_t columns, MatrixFormat format)
    : file_(path), columns_(columns), format_(format) {
    file_.write(header_of(format_, 0, columns_));
}

void MatrixFile::append(std::span<const float> rows) {
    if (columns_ == 0 || rows.size() % columns_ != 0)
        fail(ErrorCode::invalid_argument, "{} values are no whole rows of {}", rows.size(), columns_);
    file_.write(std::as_bytes(rows));
    rows_ += rows.size() / columns_;
}

void MatrixFile::finish() {
    file_.overwrite(0, header_of(format_, rows_, columns_));
    file_.commit();
}

}  // namespace vkbert
