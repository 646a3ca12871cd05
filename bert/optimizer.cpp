#include "bert/optimizer.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bert/checkpoint.hpp"
#include "bert/model_files.hpp"
#include "bert/safetensors.hpp"
#include "runtime/error.hpp"
#include "runtime/training_ops.hpp"

namespace vkbert {

namespace {

/// Weights that lie side by side in every arena and are updated alike, from the first to the last.
struct Span {
    std::string first;
    uint64_t elements = 0;  // a multiple of 4
    bool decays = true;
    float factor = 1;     // of the learning rate
    bool halves = false;  // the model has them in fp16
};

/// 0 for the embeddings, 1 + n for layer n, 1 + L for what stands on the encoder.
uint32_t depth_of(const std::string& name, const Config& config) {
    if (name.starts_with("embeddings.")) return 0;
    constexpr std::string_view prefix = "encoder.layer.";
    if (!name.starts_with(prefix)) return 1 + config.num_hidden_layers;
    uint32_t layer = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
    return 1 + layer;
}

constexpr uint64_t aligned(uint64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

uint64_t fp32_bytes(const Weight& weight) {
    return uint64_t(weight.rows) * weight.columns * sizeof(float);
}

/// What of `order` is trained, in order. follows(a, b): whether b begins where a ends, gaps of alignment
/// aside.
std::vector<Span> spans_of(const std::vector<std::string>& order, const WeightTable& weights,
                           const Config& config, const OptimizerOptions& options,
                           const std::function<bool(const std::string&, const std::string&)>& follows) {
    std::vector<Span> spans;
    const std::string* previous = nullptr;
    for (const std::string& name : order) {
        const uint32_t depth = depth_of(name, config);
        const Weight& weight = weights.at(name);
        const bool decays = weight.rows > 1 || name.ends_with("embeddings.weight") ||
                            (!name.ends_with(".bias") && !name.ends_with("LayerNorm.weight"));
        const auto factor = float(std::pow(options.layer_decay, config.num_hidden_layers + 1 - depth));
        if (depth < options.frozen) {
            previous = nullptr;
            continue;
        }
        if (previous == nullptr || spans.back().decays != decays || spans.back().factor != factor ||
            !follows(*previous, name))
            spans.push_back({name, 0, decays, factor, weight.type == Type::fp16});
        else
            spans.back().elements = aligned(spans.back().elements * 4) / 4;
        spans.back().elements += (fp32_bytes(weight) + 15) / 16 * 4;
        previous = &name;
    }
    return spans;
}

struct Parts {
    std::vector<Tensor> weights, halves, gradients, first, second;  // by span
    Tensor scalars;
};

Parts append_update(Plan& plan, const std::vector<Span>& spans) {
    Parts parts;
    parts.scalars = plan.persistent("scalars", 1u, training_scalars_words, Type::uint32);
    for (const Span& span : spans) {
        const auto flat = [&](const char* role) {
            return plan.persistent(std::string(role) + " from " + span.first, 1u, uint32_t(span.elements));
        };
        parts.weights.push_back(flat("weights"));
        parts.halves.push_back(span.halves ? plan.persistent("halves from " + span.first, 1u,
                                                             uint32_t(span.elements), Type::fp16)
                                           : Tensor{});
        parts.gradients.push_back(flat("gradients"));
        parts.first.push_back(flat("first moments"));
        parts.second.push_back(flat("second moments"));
    }
    ops::gradient_norm(plan, "gradient norm", parts.scalars, parts.gradients);
    for (size_t i = 0; i < spans.size(); ++i)
        ops::adamw(plan, "adamw", parts.weights[i], parts.gradients[i], parts.first[i], parts.second[i],
                   parts.scalars,
                   {.learning_rate_factor = spans[i].factor,
                    .decays = spans[i].decays,
                    .weights_fp16 = spans[i].halves ? &parts.halves[i] : nullptr});
    plan.finish();
    return parts;
}

}  // namespace

ScalarsBuffer::ScalarsBuffer(Device& device, float loss_scale)
    : buffer_(device, sizeof(TrainingScalars), MemoryRole::upload) {
    host() = initial_training_scalars(loss_scale);
    flush();
}

TrainingScalars& ScalarsBuffer::host() {
    buffer_.invalidate(0, sizeof(TrainingScalars));
    return *reinterpret_cast<TrainingScalars*>(buffer_.mapped());
}

Optimizer::Optimizer(Model& model, const WeightArena* master, const WeightArena& gradients,
                     ScalarsBuffer& scalars, const OptimizerOptions& options)
    : model_(model), scalars_(scalars), first_(model), second_(model) {
    const auto follows = [&](const std::string& a, const std::string& b) {
        const auto next = [](const BufferRange& x, const BufferRange& y) {
            return x.buffer == y.buffer && aligned(x.offset + x.bytes) == y.offset;
        };
        const Weight &x = model.weights().at(a), &y = model.weights().at(b);
        return x.type == Type::fp32 && y.type == Type::fp32 && next(x.range, y.range) &&
               next(gradients.range(a), gradients.range(b)) && next(first_.range(a), first_.range(b)) &&
               next(second_.range(a), second_.range(b));
    };
    const std::vector<Span> spans =
        spans_of(model.weight_order(), model.weights(), model.config(), options, follows);
    Plan plan(model.device().capabilities());
    const Parts parts = append_update(plan, spans);
    std::map<StorageId, BufferRange> bound{{parts.scalars.storage, scalars.range()}};
    for (size_t i = 0; i < spans.size(); ++i) {
        const auto bind = [&](const Tensor& tensor, BufferRange range) {
            bound[tensor.storage] = {range.buffer, range.offset, spans[i].elements * sizeof(float)};
        };
        bind(parts.weights[i], fp32_range(model, master, spans[i].first));
        if (spans[i].halves) {
            const BufferRange range = model.weights().at(spans[i].first).range;
            bound[parts.halves[i].storage] = {range.buffer, range.offset, spans[i].elements * 2};
        }
        bind(parts.gradients[i], gradients.range(spans[i].first));
        bind(parts.first[i], first_.range(spans[i].first));
        bind(parts.second[i], second_.range(spans[i].first));
    }
    recording_ = std::make_unique<Recording>(model.device(), model.pipelines(), std::move(plan), bound,
                                             Recording::Options{.profile = options.profile});
    TrainingScalars& s = scalars.host();
    set_betas(s, options.beta1, options.beta2);
    s.epsilon = float(options.epsilon), s.weight_decay = float(options.weight_decay);
    s.max_gradient_norm = float(options.max_grad_norm);
    s.bias_correction = options.kind == OptimizerKind::adamw ? 1 : 0;
    scalars.flush();
}

Optimizer::~Optimizer() = default;

uint64_t Optimizer::planned_bytes(const Capabilities& capabilities, const Config& config,
                                  const ModelOptions& model_options, const OptimizerOptions& options) {
    const WeightTable weights = weight_table(capabilities, config, model_options);
    std::vector<std::string> order;
    for (const auto& [name, weight] : weights) order.push_back(name);
    Plan plan(capabilities);
    append_update(plan,
                  spans_of(order, weights, config, options, [](const auto&, const auto&) { return true; }));
    return Recording::planned_bytes(plan);
}

void Optimizer::set(double learning_rate, uint64_t losses) {
    TrainingScalars& s = scalars_.host();
    s.loss_weight[0] = 1.0f / float(std::max<uint64_t>(losses, 1));
    s.learning_rate = float(learning_rate);
    scalars_.flush();
}

void Optimizer::run() {
    recording_->run();
}

void Optimizer::save(const std::filesystem::path& path) {
    std::vector<StoredTensor> tensors;
    const auto& rows = model_.parameters().rows();
    for (const char* prefix : {"exp_avg.", "exp_avg_sq."})
        for (const Parameter& row : rows) {
            StoredTensor& tensor = tensors.emplace_back();
            tensor.name = prefix + row.name;
            tensor.shape = row.shape;
        }
    StoredTensor& counters = tensors.emplace_back();
    counters.name = "scalars", counters.type = DataType::u32, counters.shape = {training_scalars_words};
    SafetensorsWriter writer(path, tensors);
    std::vector<float> values;
    for (const WeightArena* arena : {&first_, &second_})
        for (size_t row = 0; row < rows.size(); ++row) {
            const Model::Place& place = model_.place(row);
            constexpr uint64_t piece = 1 << 20;
            for (uint64_t first = 0; first < rows[row].elements(); first += piece) {
                values.resize(std::min(piece, rows[row].elements() - first));
                download(model_.device(), arena->range(place.weight), (place.first + first) * sizeof(float),
                         std::as_writable_bytes(std::span(values)));
                writer.write(std::span<const float>(values));
            }
        }
    const TrainingScalars& scalars = scalars_.host();
    writer.write(std::as_bytes(std::span(&scalars, 1)));
    writer.finish();
}

void Optimizer::load(const std::filesystem::path& path) {
    Uploader uploader(model_.device());
    const std::pair<const char*, WeightArena*> moments[] = {{"exp_avg.", &first_}, {"exp_avg_sq.", &second_}};
    for (const auto& [prefix, arena] : moments)
        read_parameters(model_.parameters(), path, prefix,
                        [&, to = arena](size_t row, uint64_t first, std::span<const float> values) {
                            const Model::Place& place = model_.place(row);
                            uploader.upload(to->range(place.weight), (place.first + first) * sizeof(float),
                                            std::as_bytes(values));
                        });
    uploader.finish();
    const Checkpoint checkpoint = Checkpoint::open(path);
    const StoredTensor* const counters = checkpoint.find("scalars");
    if (counters == nullptr || counters->type != DataType::u32 ||
        counters->elements() != training_scalars_words)
        fail(ErrorCode::invalid_input, "{}: has no training scalars", path.string());
    std::memcpy(&scalars_.host(), checkpoint.bytes(*counters).data(), sizeof(TrainingScalars));
    scalars_.flush();
}

}  // namespace vkbert
