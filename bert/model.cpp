#include "bert/model.hpp"

#include <algorithm>
#include <cstring>

#include "bert/checkpoint.hpp"
#include "bert/half.hpp"
#include "bert/initial_values.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

constexpr std::string_view query = "attention.self.query.";

/// A weight and the parameters it is made of, in order: one, or the three projections that kernels use as
/// one.
struct Slot {
    std::string name;
    Weight weight;
    size_t first = 0, parameters = 1;  // rows of the parameter table
};

ParameterTable table_of(const Config& config, const ModelOptions& options) {
    return ParameterTable(config, options.head, options.pooler, !options.without_embeddings);
}

std::vector<Slot> slots(const ParameterTable& table, const ModelOptions& options) {
    std::vector<Slot> list;
    for (size_t i = 0; i < table.rows().size(); ++i) {
        const Parameter& p = table.rows()[i];
        if (p.joined) {
            Weight& w = list.back().weight;
            (p.shape.size() == 2 ? w.rows : w.columns) += uint32_t(p.shape[0]);
            ++list.back().parameters;
            continue;
        }
        const bool matrix = p.shape.size() == 2;
        Slot slot;
        slot.first = i;
        slot.name = p.name.starts_with("bert.") ? p.name.substr(5) : p.name;
        if (const size_t at = slot.name.find(query); at != std::string::npos)
            slot.name.replace(at, query.size(), "attention.self.qkv.");
        slot.weight.type = matrix && options.precision == Precision::fp16 ? Type::fp16 : Type::fp32;
        slot.weight.rows = matrix ? uint32_t(p.shape[0]) : 1;
        slot.weight.columns = uint32_t(p.shape.back());
        list.push_back(std::move(slot));
    }
    return list;
}

uint64_t bytes(const Weight& w) {
    return uint64_t(w.rows) * w.columns * size_of(w.type);
}

}  // namespace

WeightTable weight_table(const Config& config, const ModelOptions& options) {
    WeightTable table;
    for (const Slot& slot : slots(table_of(config, options), options)) table.emplace(slot.name, slot.weight);
    return table;
}

uint64_t Model::planned_bytes(const Capabilities& capabilities, const Config& config,
                              const ModelOptions& options) {
    Arena arena(MemoryRole::device);
    for (const Slot& slot : slots(table_of(config, options), options)) arena.reserve(bytes(slot.weight));
    return arena.planned_bytes(capabilities);
}

Model::Model(Device& device, const Config& config, const ModelOptions& options)
    : device_(device),
      config_(config),
      options_(options),
      table_(table_of(config, options)),
      pipelines_(device) {}

void Model::fill(const Fill& fill) {
    std::vector<Slot> list = slots(table_, options_);
    uint64_t total = 0, done = 0;
    for (const Slot& slot : list) {
        arena_.reserve(bytes(slot.weight));
        total += bytes(slot.weight);
    }
    arena_.commit(device_);
    Uploader uploader(device_);
    // Through bounded pieces, so that neither staging nor the checkpoint's pages ever hold much of it twice.
    constexpr uint64_t piece = 1 << 20;
    for (size_t i = 0; i < list.size(); ++i) {
        Slot& slot = list[i];
        slot.weight.range = arena_.range(i);
        const uint64_t size = size_of(slot.weight.type);
        uint64_t offset = 0;
        for (size_t row = slot.first; row < slot.first + slot.parameters; ++row) {
            const uint64_t n = table_.rows()[row].elements();
            places_.push_back({slot.name, offset / size});
            for (uint64_t first = 0; first < n; first += piece) {
                const uint64_t count = std::min(piece, n - first);
                const auto target = uploader.begin(slot.weight.range, offset, count * size);
                fill(row, first, target, slot.weight.type);
                uploader.commit();
                offset += count * size;
                done += count * size;
                if (options_.progress) options_.progress(done, total);
            }
        }
        weights_.emplace(slot.name, slot.weight);
        order_.push_back(slot.name);
    }
    uploader.finish();
}

namespace {

void store(std::span<const float> values, std::span<std::byte> target, Type type) {
    if (type == Type::fp16)
        std::ranges::transform(values, reinterpret_cast<uint16_t*>(target.data()), fp32_to_fp16);
    else
        std::memcpy(target.data(), values.data(), target.size());
}

}  // namespace

std::unique_ptr<Model> Model::load(Device& device, const Config& config, const Checkpoint& checkpoint,
                                   const ModelOptions& options) {
    std::unique_ptr<Model> model(new Model(device, config, options));
    const ParameterTable& table = model->table_;
    const ParameterSources sources = match_parameters(table, checkpoint, options.missing_head);
    std::vector<float> values;
    model->fill([&](size_t row, uint64_t first, std::span<std::byte> target, Type type) {
        const StoredTensor* const tensor = sources.tensors[row];
        if (tensor != nullptr) checkpoint.require_finite(*tensor, first, target.size() / size_of(type));
        if (tensor == nullptr) {
            values.resize(target.size() / size_of(type));
            initial_values(table, row, config, options.seed, first, values);
            store(values, target, type);
        } else if (type == Type::fp16) {
            checkpoint.read_fp16(*tensor, first,
                                 {reinterpret_cast<uint16_t*>(target.data()), target.size() / 2});
        } else {
            checkpoint.read(*tensor, first, {reinterpret_cast<float*>(target.data()), target.size() / 4});
        }
    });
    return model;
}

std::unique_ptr<Model> Model::random(Device& device, const Config& config, uint64_t seed,
                                     const ModelOptions& options) {
    std::unique_ptr<Model> model(new Model(device, config, options));
    std::vector<float> values;
    model->fill([&](size_t row, uint64_t first, std::span<std::byte> target, Type type) {
        values.resize(target.size() / size_of(type));
        initial_values(model->table_, row, config, seed, first, values);
        store(values, target, type);
    });
    return model;
}

}  // namespace vkbert
