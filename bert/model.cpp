#include "bert/model.hpp"

#include <algorithm>
#include <cstring>

#include "bert/checkpoint.hpp"
#include "bert/half.hpp"
#include "bert/initial_values.hpp"
#include "runtime/error.hpp"
#include "runtime/ops.hpp"

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

constexpr uint64_t piece = 1 << 20;  // elements

/// The encoder's matrices: the embeddings' tables are read by rows, and a head has little to multiply.
bool kept_in_strips(const Capabilities& capabilities, const ModelOptions& options, const Slot& slot) {
    const Weight& w = slot.weight;
    return options.for_inference && slot.name.starts_with("encoder.layer.") && w.rows > 1 &&
           ops::reads_strips(capabilities, w.type, w.rows, w.columns) &&
           ops::strips_of(w.rows, w.columns).columns <= piece;
}

std::vector<Slot> slots(const Capabilities& capabilities, const ParameterTable& table,
                        const ModelOptions& options) {
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
    for (Slot& slot : list) slot.weight.in_strips = kept_in_strips(capabilities, options, slot);
    return list;
}

}  // namespace

/// Writes weights through bounded pieces, so that neither staging nor the checkpoint's pages ever hold much
/// of it twice.
class Model::Writer {
  public:
    Writer(Device& device, const ParameterTable& table, const Fill& fill)
        : uploader_(device), table_(table), fill_(fill) {}
    /// `written` is told bytes, as they come.
    void write(const Slot& slot, const std::function<void(uint64_t)>& written) {
        uint64_t at = 0;  // in slot.weight.range
        const auto next = [&](uint64_t bytes) {
            const auto target = uploader_.begin(slot.weight.range, at, bytes);
            at += bytes;
            return target;
        };
        const auto commit = [&](uint64_t bytes) {
            uploader_.commit();
            written(bytes);
        };
        if (slot.weight.in_strips)
            write_strips(slot, next, commit);
        else
            write_rows(slot, next, commit);
    }
    void finish() { uploader_.finish(); }

  private:
    void write_rows(const Slot& slot, const auto& next, const auto& commit) {
        const uint64_t size = size_of(slot.weight.type);
        for (size_t row = slot.first; row < slot.first + slot.parameters; ++row) {
            const uint64_t n = table_.rows()[row].elements();
            for (uint64_t first = 0; first < n; first += piece) {
                const uint64_t bytes = std::min(piece, n - first) * size;
                fill_(row, first, next(bytes), slot.weight.type);
                commit(bytes);
            }
        }
    }

    /// A strip's rows may be of two parameters.
    void write_strips(const Slot& slot, const auto& next, const auto& commit) {
        const uint32_t K = slot.weight.columns;
        const uint64_t bytes = ops::strips_of(slot.weight.rows, K).columns * sizeof(float);
        std::vector<float> strip(size_t(ops::Strips::width) * K);
        const std::span<float> rows(strip);
        uint32_t filled = 0;
        const auto flush = [&] {
            const auto target = next(bytes);
            ops::fill_strip(rows, {reinterpret_cast<float*>(target.data()), target.size() / sizeof(float)});
            commit(bytes);
            filled = 0;
        };
        for (size_t parameter = slot.first; parameter < slot.first + slot.parameters; ++parameter) {
            const uint64_t n = table_.rows()[parameter].shape[0];
            for (uint64_t row = 0, count; row < n; row += count) {
                count = std::min<uint64_t>(n - row, ops::Strips::width - filled);
                fill_(parameter, row * K, std::as_writable_bytes(rows.subspan(size_t(filled) * K, count * K)),
                      Type::fp32);
                filled += uint32_t(count);
                if (filled == ops::Strips::width) flush();
            }
        }
        if (filled != 0) flush();
    }

    Uploader uploader_;
    const ParameterTable& table_;
    const Fill& fill_;
};

uint64_t Weight::bytes() const {
    if (!in_strips) return uint64_t(rows) * columns * size_of(type);
    const ops::Strips strips = ops::strips_of(rows, columns);
    return uint64_t(strips.rows) * strips.columns * size_of(type);
}

WeightTable weight_table(const Capabilities& capabilities, const Config& config,
                         const ModelOptions& options) {
    WeightTable table;
    for (const Slot& slot : slots(capabilities, table_of(config, options), options))
        table.emplace(slot.name, slot.weight);
    return table;
}

uint64_t Model::planned_bytes(const Capabilities& capabilities, const Config& config,
                              const ModelOptions& options) {
    Arena arena(MemoryRole::device);
    for (const Slot& slot : slots(capabilities, table_of(config, options), options))
        arena.reserve(slot.weight.bytes());
    return arena.planned_bytes(capabilities);
}

Model::Model(Device& device, const Config& config, const ModelOptions& options)
    : device_(device),
      config_(config),
      options_(options),
      table_(table_of(config, options)),
      pipelines_(device) {}

const Model::Place& Model::place(size_t row) const {
    if (options_.for_inference)
        fail(ErrorCode::invalid_argument, "a model loaded for inference is neither trained nor written");
    return places_.at(row);
}

void Model::fill(const Fill& fill) {
    std::vector<Slot> list = slots(device_.capabilities(), table_, options_);
    uint64_t total = 0, done = 0;
    for (const Slot& slot : list) {
        arena_.reserve(slot.weight.bytes());
        total += slot.weight.bytes();
    }
    arena_.commit(device_);
    Writer writer(device_, table_, fill);
    for (size_t i = 0; i < list.size(); ++i) {
        Slot& slot = list[i];
        slot.weight.range = arena_.range(i);
        for (uint64_t row = slot.first, first = 0; row < slot.first + slot.parameters; ++row) {
            places_.push_back({slot.name, first});
            first += table_.rows()[row].elements();
        }
        writer.write(slot, [&](uint64_t bytes) {
            if (options_.progress) options_.progress(done += bytes, total);
        });
        weights_.emplace(slot.name, slot.weight);
        order_.push_back(slot.name);
    }
    writer.finish();
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
