#include "tests/golden_files.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "bert/safetensors.hpp"

namespace vkbert::test {

namespace {

std::vector<char> read_bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(file), {}};
}

template <typename T>
std::vector<T> values_of(const std::vector<char>& bytes, const StoredTensor& tensor) {
    std::vector<T> values(tensor.elements());
    std::memcpy(values.data(), bytes.data() + tensor.offset, values.size() * sizeof(T));
    return values;
}

}  // namespace

GoldenTensor GoldenTensor::rows_at(uint32_t first, uint32_t count) const {
    const auto begin = values.begin() + ptrdiff_t(first) * columns;
    return {count, columns, {begin, begin + ptrdiff_t(count) * columns}};
}

GoldenTensor GoldenTensor::rows_of(const std::vector<uint32_t>& offsets) const {
    GoldenTensor result{uint32_t(offsets.size() - 1), columns, {}};
    for (uint32_t s = 0; s < result.rows; ++s) {
        const GoldenTensor row = rows_at(offsets[s], 1);
        result.values.insert(result.values.end(), row.values.begin(), row.values.end());
    }
    return result;
}

std::vector<std::pair<double, uint32_t>> GoldenTensor::softmax_descending(uint32_t row) const {
    const GoldenTensor logits = rows_at(row, 1);
    std::vector<std::pair<double, uint32_t>> result;
    double sum = 0;
    for (uint32_t c = 0; c < columns; ++c)
        sum += result.emplace_back(std::exp(double(logits.values[c])), c).first;
    for (auto& [value, index] : result) value /= sum;
    std::ranges::stable_sort(result, [](const auto& a, const auto& b) { return a.first > b.first; });
    return result;
}

vkbert::Matrix column(const vkbert::Matrix& matrix, uint32_t index) {
    vkbert::Matrix result{matrix.rows, 1, {}};
    for (uint32_t row = 0; row < matrix.rows; ++row)
        result.values.push_back(matrix.values[size_t(row) * matrix.columns + index]);
    return result;
}

GoldenTensor matrix_of(const nlohmann::json& rows) {
    GoldenTensor result{uint32_t(rows.size()), uint32_t(rows.at(0).size()), {}};
    for (const auto& row : rows)
        for (const auto& value : row) result.values.push_back(value.get<float>());
    if (result.values.size() != size_t(result.rows) * result.columns)
        throw std::runtime_error("rows of unequal length");
    return result;
}

nlohmann::json read_json(const std::filesystem::path& path) {
    return nlohmann::json::parse(read_bytes(path));
}

Golden::Golden(const std::filesystem::path& folder)
    : config(read_config(folder)), checkpoint(Checkpoint::open(folder)) {
    const std::vector<char> bytes = read_bytes(folder / "expected.safetensors");
    std::map<std::string, std::vector<int32_t>> inputs;
    for (const StoredTensor& tensor : parse_safetensors(std::as_bytes(std::span(bytes)), folder.string())) {
        if (tensor.type == DataType::i32)
            inputs[tensor.name] = values_of<int32_t>(bytes, tensor);
        else
            tensors_[tensor.name] = {uint32_t(tensor.shape.at(0)), uint32_t(tensor.shape.at(1)),
                                     values_of<float>(bytes, tensor)};
    }
    const std::vector<int32_t>& offsets = inputs.at("offsets");
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
        const auto begin = size_t(offsets[s]), count = size_t(offsets[s + 1]) - begin;
        batch.add(std::span<const int32_t>(inputs.at("input_ids")).subspan(begin, count),
                  std::span<const int32_t>(inputs.at("token_type_ids")).subspan(begin, count));
    }
}

}  // namespace vkbert::test
