#include "bert/model_files.hpp"

#include <algorithm>
#include <array>

#include "bert/checkpoint.hpp"
#include "bert/half.hpp"
#include "bert/initial_values.hpp"
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

/// Writes fp32 values of a parameter into the model and, where that has halves, into the master.
class ParameterWriter {
  public:
    ParameterWriter(Model& model, const WeightArena* master)
        : model_(model), master_(master), uploader_(model.device()) {}
    void write(size_t row, uint64_t first, std::span<const float> values) {
        const Model::Place& place = model_.place(row);
        const Weight& weight = model_.weights().at(place.weight);
        const uint64_t at = place.first + first;
        uploader_.upload(fp32_range(model_, master_, place.weight), at * sizeof(float),
                         std::as_bytes(values));
        if (weight.type != Type::fp16) return;
        halves_.resize(values.size());
        std::ranges::transform(values, halves_.begin(), fp32_to_fp16);
        uploader_.upload(weight.range, at * sizeof(uint16_t), std::as_bytes(std::span(halves_)));
    }
    void finish() { uploader_.finish(); }

  private:
    Model& model_;
    const WeightArena* master_;
    Uploader uploader_;
    std::vector<uint16_t> halves_;
};

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

BufferRange fp32_range(const Model& model, const WeightArena* master, const std::string& weight) {
    const Weight& w = model.weights().at(weight);
    if (w.type == Type::fp32) return w.range;
    if (master == nullptr)
        fail(ErrorCode::invalid_argument, "'{}' of a half-precision model has no master weights", weight);
    return master->range(weight);
}

void write_weights(Model& model, const WeightArena* master, const std::filesystem::path& path) {
    write_parameters(model.parameters(), path, "", [&](size_t row, uint64_t first, std::span<float> out) {
        const Model::Place& place = model.place(row);
        download(model.device(), fp32_range(model, master, place.weight),
                 (place.first + first) * sizeof(float), std::as_writable_bytes(out));
    });
}

void read_weights(Model& model, const WeightArena* master, const std::filesystem::path& path) {
    ParameterWriter writer(model, master);
    read_parameters(
        model.parameters(), path, "",
        [&](size_t row, uint64_t first, std::span<const float> values) { writer.write(row, first, values); });
    writer.finish();
}

void read_master_weights(Model& model, const WeightArena& master, const Checkpoint& checkpoint) {
    const ParameterTable& table = model.parameters();
    const ParameterSources sources = match_parameters(table, checkpoint, model.options().missing_head);
    ParameterWriter writer(model, &master);
    std::vector<float> values;
    for (size_t row = 0; row < table.rows().size(); ++row)
        in_pieces(table.rows()[row].elements(), [&](uint64_t first, uint64_t count) {
            values.resize(count);
            if (const StoredTensor* const tensor = sources.tensors[row])
                checkpoint.read(*tensor, first, values);
            else
                initial_values(table, row, model.config(), model.options().seed, first, values);
            writer.write(row, first, values);
        });
    writer.finish();
}

}  // namespace vkbert
