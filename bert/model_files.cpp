#include "bert/model_files.hpp"

#include <algorithm>
#include <array>

#include "bert/checkpoint.hpp"
#include "bert/half.hpp"
#include "bert/safetensors.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {

namespace {

constexpr uint64_t piece = 1 << 20;  // elements

/// f(first, count) for pieces of `elements`.
void in_pieces(uint64_t elements, const std::function<void(uint64_t, uint64_t)>& f) {
    for (uint64_t first = 0; first < elements; first += piece) f(first, std::min(piece, elements - first));
}

void require_fp32(const Model& model) {
    if (model.precision() != Precision::fp32)
        fail(ErrorCode::invalid_argument, "the weights of a half-precision model are not what was trained");
}

}  // namespace

void write_model_settings(const std::filesystem::path& pretrained, const Config& config,
                          const std::filesystem::path& folder) {
    const auto write = [&](const char* name, std::string_view text) {
        AtomicFile file(folder / name);
        file.write(text);
        file.commit();
    };
    write("config.json", config_json(config));
    constexpr std::array names{"vocab.txt", "tokenizer.json", "tokenizer_config.json",
                               "special_tokens_map.json", "added_tokens.json"};
    for (const char* name : names)
        if (std::filesystem::exists(pretrained / name))
            write(name, read_text_file(pretrained / name, 256 << 20));
}

void write_parameters(const ParameterTable& table, const std::filesystem::path& path,
                      const std::string& prefix, const ReadParameter& read) {
    std::vector<StoredTensor> tensors;
    for (const Parameter& row : table.rows()) {
        StoredTensor tensor;
        tensor.name = prefix + row.name;
        tensor.shape = row.shape;
        tensors.push_back(std::move(tensor));
    }
    SafetensorsWriter writer(path, tensors, {{"format", "pt"}});
    std::vector<float> values;
    for (size_t row = 0; row < table.rows().size(); ++row)
        in_pieces(table.rows()[row].elements(), [&](uint64_t first, uint64_t count) {
            values.resize(count);
            read(row, first, values);
            writer.write(std::as_bytes(std::span(values)));
        });
    writer.finish();
}

void read_parameters(const ParameterTable& table, const std::filesystem::path& path,
                     const std::string& prefix, const WriteParameter& write) {
    const Checkpoint checkpoint = Checkpoint::open(path);
    std::vector<float> values;
    for (size_t row = 0; row < table.rows().size(); ++row) {
        const Parameter& parameter = table.rows()[row];
        const StoredTensor* const tensor = checkpoint.find(prefix + parameter.name);
        if (tensor == nullptr || tensor->shape != parameter.shape)
            fail(ErrorCode::invalid_input, "{}: has no '{}{}' of shape {}", path.string(), prefix,
                 parameter.name, shape_text(parameter.shape));
        in_pieces(parameter.elements(), [&](uint64_t first, uint64_t count) {
            values.resize(count);
            checkpoint.read(*tensor, first, values);
            write(row, first, values);
        });
    }
}

void write_weights(Model& model, const std::filesystem::path& path) {
    require_fp32(model);
    write_parameters(model.parameters(), path, "", [&](size_t row, uint64_t first, std::span<float> out) {
        const Model::Place& place = model.place(row);
        download(model.device(), model.weights().at(place.weight).range,
                 (place.first + first) * sizeof(float), std::as_writable_bytes(out));
    });
}

void read_weights(Model& model, const std::filesystem::path& path) {
    require_fp32(model);
    Uploader uploader(model.device());
    read_parameters(model.parameters(), path, "",
                    [&](size_t row, uint64_t first, std::span<const float> values) {
                        const Model::Place& place = model.place(row);
                        uploader.upload(model.weights().at(place.weight).range,
                                        (place.first + first) * sizeof(float), std::as_bytes(values));
                    });
    uploader.finish();
}

}  // namespace vkbert
