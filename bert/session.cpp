#include "bert/session.hpp"

#include <algorithm>

#include "bert/graph_inputs.hpp"
#include "bert/layers.hpp"

namespace vkbert {

struct Session::Graph : vkbert::Graph {
    using vkbert::Graph::Graph;
};

namespace {

std::vector<Tensor> outputs_of(const Graph& g) {
    std::vector<Tensor> outputs;
    for (const Tensor& t : g.results)
        if (std::ranges::none_of(outputs, [&](const Tensor& o) { return o.storage == t.storage; }))
            outputs.push_back(t);
    if (g.options.output == Output::top_k) outputs.push_back(g.top_k_ids);
    return outputs;
}

void check_options(const Model& model, const SessionOptions& o) {
    const auto& c = model.config();
    if (o.max_tokens == 0 || o.max_sequences == 0)
        fail(ErrorCode::invalid_argument, "a session needs room for at least one token and one sequence");
    const bool masked = model.head() == Head::masked_lm;
    if (o.output == Output::top_k && !masked)
        fail(ErrorCode::invalid_argument, "top-k words need a model loaded with its masked LM head");
    if (o.output == Output::top_k && (o.top_k < 1 || o.top_k > 128 || o.top_k > c.vocab_size))
        fail(ErrorCode::invalid_argument, "top-k takes 1 to {} words, not {}", std::min(128u, c.vocab_size),
             o.top_k);
    if (o.output == Output::logits && model.head() == Head::none)
        fail(ErrorCode::invalid_argument, "logits need a model loaded with a head");
    if (o.layers.empty()) fail(ErrorCode::invalid_argument, "no hidden state is asked for");
}

}  // namespace

uint32_t Session::max_tokens(const Capabilities& capabilities, const Config& config, Precision precision) {
    const uint64_t widest = std::max(3 * config.hidden_size, config.intermediate_size);
    const uint64_t row = widest * (precision == Precision::fp16 ? 2 : 4);
    const uint64_t by_range = capabilities.max_storage_buffer_range / row;
    return uint32_t(std::min<uint64_t>({by_range / 64 * 64, capabilities.max_workgroup_count[0], 1u << 20}));
}

uint64_t Session::planned_bytes(const Capabilities& capabilities, const Config& config,
                                const ModelOptions& model_options, const SessionOptions& options) {
    const WeightTable weights = weight_table(capabilities, config, model_options);
    vkbert::Graph g(Plan(capabilities, options.kernels, options.tuning), config, weights, model_options,
                    options);
    build(g);
    return Recording::planned_bytes(g.plan) + BoundBuffer::planned_bytes(g.plan, g.inputs) +
           BoundBuffer::planned_bytes(g.plan, outputs_of(g));
}

Session::Session(Model& model, const SessionOptions& options) : model_(model), options_(options) {
    check_options(model, options);
    const uint32_t most = max_tokens(model.device().capabilities(), model.config(), model.precision());
    if (options.max_tokens > most)
        fail(ErrorCode::invalid_argument, "{} tokens a batch are over the {} that {} allows for this model",
             options.max_tokens, most, model.device().capabilities().device_name);
    graph_ = std::make_unique<Graph>(Plan(model.device().capabilities(), options_.kernels, options_.tuning),
                                     model.config(), model.weights(), model.options(), options_);
    build(*graph_);
    const Plan& plan = graph_->plan;
    std::map<StorageId, BufferRange> bound;
    for (const auto& [storage, weight] : graph_->bound_weights) bound[storage] = weight->range;
    inputs_ = BoundBuffer(model.device(), plan, graph_->inputs, MemoryRole::upload);
    outputs_ = BoundBuffer(model.device(), plan, outputs_of(*graph_), MemoryRole::device);
    inputs_.add_to(bound);
    outputs_.add_to(bound);
    Recording::Options recording;
    recording.profile = options.profile;
    recording_ = std::make_unique<Recording>(model.device(), model.pipelines(), plan, bound, recording);
}

Session::~Session() = default;

void Session::set_input(const Batch& batch) {
    check_batch(model_.config(), options_, batch);
    tokens_ = batch.tokens(), rows_ = uint32_t(batch.rows.size());
    put_batch(inputs_, *recording_, *graph_, batch);
    inputs_.flush();
}

void Session::set_embeddings(std::span<const float> values) {
    if (!options_.from_embeddings || values.size() != size_t(tokens_) * model_.config().hidden_size)
        fail(ErrorCode::invalid_argument,
             "{} embedding values do not fit {} tokens of a session {} embeddings", values.size(), tokens_,
             options_.from_embeddings ? "from" : "that is not from");
    inputs_.put(graph_->embeddings, values);
    inputs_.flush();
}

Matrix Session::read(size_t which) {
    const Tensor& t = graph_->results.at(which);
    Matrix m;
    m.rows = t.rows.constant() ? t.rows.capacity : recording_->value(t.rows.symbol);
    m.columns = t.columns;
    const size_t pitch = t.pitch;
    m.values.resize(size_t(m.rows) * pitch);
    download(model_.device(), outputs_.range(t), t.offset, std::as_writable_bytes(std::span(m.values)));
    if (pitch != m.columns)
        for (size_t row = 1; row < m.rows; ++row)
            std::copy_n(m.values.begin() + ptrdiff_t(row * pitch), m.columns,
                        m.values.begin() + ptrdiff_t(row * m.columns));
    m.values.resize(size_t(m.rows) * m.columns);
    return m;
}

std::vector<uint32_t> Session::read_top_k_ids() {
    if (options_.output != Output::top_k) fail(ErrorCode::invalid_argument, "this session computes no top-k");
    std::vector<uint32_t> ids(size_t(rows_) * options_.top_k);
    download(model_.device(), outputs_.range(graph_->top_k_ids), 0, std::as_writable_bytes(std::span(ids)));
    return ids;
}

size_t Session::results() const {
    return graph_->results.size();
}

}  // namespace vkbert
