#include "bert/session.hpp"

#include <algorithm>
#include <cstring>

#include "bert/layers.hpp"

namespace vkbert {

struct Session::Graph : vkbert::Graph {
    using vkbert::Graph::Graph;
};

namespace {

constexpr uint64_t aligned(uint64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/// Bytes of one buffer that holds the storages of these tensors one after the other, with slack for kernels
/// that read a little past the end.
uint64_t packed_bytes(const Plan& plan, const std::vector<Tensor>& tensors) {
    uint64_t bytes = 0;
    for (const Tensor& t : tensors) bytes += aligned(plan.storages()[t.storage].bytes);
    return tensors.empty() ? 0 : bytes + Plan::read_slack;
}

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
    const WeightTable weights = weight_table(config, model_options);
    vkbert::Graph g(Plan(capabilities, options.kernels), config, weights, model_options, options);
    build(g);
    return Recording::planned_bytes(g.plan) + packed_bytes(g.plan, g.inputs) +
           packed_bytes(g.plan, outputs_of(g));
}

Session::Session(Model& model, const SessionOptions& options) : model_(model), options_(options) {
    check_options(model, options);
    const uint32_t most = max_tokens(model.device().capabilities(), model.config(), model.precision());
    if (options.max_tokens > most)
        fail(ErrorCode::invalid_argument, "{} tokens a batch are over the {} that {} allows for this model",
             options.max_tokens, most, model.device().capabilities().device_name);
    graph_ = std::make_unique<Graph>(Plan(model.device().capabilities(), options_.kernels), model.config(),
                                     model.weights(), model.options(), options_);
    build(*graph_);
    const Plan& plan = graph_->plan;
    std::map<StorageId, BufferRange> bound;
    for (const auto& [storage, weight] : graph_->bound_weights) bound[storage] = weight->range;
    auto place = [&](Buffer& buffer, const std::vector<Tensor>& tensors, MemoryRole role) {
        buffer = Buffer(model.device(), packed_bytes(plan, tensors), role);
        uint64_t offset = 0;
        for (const Tensor& t : tensors) {
            const uint64_t bytes = plan.storages()[t.storage].bytes;
            bound[t.storage] = {&buffer, offset, bytes};
            offset += aligned(bytes);
        }
    };
    place(input_, graph_->inputs, MemoryRole::upload);
    place(output_, outputs_of(*graph_), MemoryRole::device);
    for (const Tensor& t : graph_->inputs) inputs_[t.storage] = bound[t.storage];
    for (const Tensor& t : outputs_of(*graph_)) outputs_[t.storage] = bound[t.storage];
    Recording::Options recording;
    recording.profile = options.profile;
    recording_ = std::make_unique<Recording>(model.device(), model.pipelines(), plan, bound, recording);
}

Session::~Session() = default;

void Session::check(const Batch& batch) const {
    const Config& c = model_.config();
    const uint32_t T = batch.tokens(), S = batch.sequences();
    if (T > options_.max_tokens || S > options_.max_sequences || (batch.rows.size() > options_.max_rows))
        fail(ErrorCode::invalid_argument,
             "a batch of {} tokens, {} sequences and {} rows is over the session's {}, {} and {}", T, S,
             batch.rows.size(), options_.max_tokens, options_.max_sequences, options_.max_rows);
    if (batch.offsets.empty() || batch.offsets.front() != 0 || batch.offsets.back() != T ||
        batch.types.size() != T || batch.positions.size() != T || !std::ranges::is_sorted(batch.offsets))
        fail(ErrorCode::invalid_argument, "a batch's offsets, types and positions do not fit its {} tokens",
             T);
    for (uint32_t t = 0; t < T; ++t) {
        if (!options_.from_embeddings && batch.ids[t] >= c.vocab_size)
            fail(ErrorCode::invalid_argument, "token {} has id {}: the model's vocabulary has {} words", t,
                 batch.ids[t], c.vocab_size);
        if (batch.types[t] >= c.type_vocab_size)
            fail(ErrorCode::invalid_argument, "token {} has segment {}: the model knows {}", t,
                 batch.types[t], c.type_vocab_size);
        if (batch.positions[t] >= c.max_position_embeddings)
            fail(ErrorCode::invalid_argument,
                 "token {} is at position {}: the model has {} positions, truncate the text", t,
                 batch.positions[t], c.max_position_embeddings);
    }
    for (const uint32_t row : batch.rows)
        if (row >= T) fail(ErrorCode::invalid_argument, "row {} is past the batch's {} tokens", row, T);
}

template <typename T>
void Session::put(const Tensor& tensor, std::span<const T> values) {
    const BufferRange& range = inputs_.at(tensor.storage);
    if (!values.empty())
        std::memcpy(range.buffer->mapped() + range.offset, values.data(), values.size_bytes());
}

void Session::set_input(const Batch& batch) {
    check(batch);
    Graph& g = *graph_;
    tokens_ = batch.tokens(), sequences_ = batch.sequences(), rows_ = uint32_t(batch.rows.size());
    const std::vector<ops::AttentionTile> tiles = ops::attention_tiles(batch.offsets);
    std::vector<ops::AttentionTile> first_tiles;
    uint64_t pairs = 0;
    for (uint32_t s = 0; s < sequences_; ++s) {
        const uint32_t first = batch.offsets[s], length = batch.offsets[s + 1] - first;
        if (length) first_tiles.push_back({first, 1, first, length});
        pairs += uint64_t(length) * length;
    }
    put<uint32_t>(g.ids, batch.ids);
    put<uint32_t>(g.types, batch.types);
    put<uint32_t>(g.positions, batch.positions);
    put<uint32_t>(g.offsets, batch.offsets);
    put<uint32_t>(g.row_list, batch.rows);
    put<ops::AttentionTile>(g.tile_list, tiles);
    put<ops::AttentionTile>(g.first_tile_list, first_tiles);
    input_.flush(0, input_.bytes());
    recording_->set(g.tokens, tokens_);
    recording_->set(g.sequences, sequences_);
    recording_->set(g.rows, rows_);
    recording_->set(g.tiles, uint32_t(tiles.size()));
    recording_->set(g.pairs, uint32_t(std::min<uint64_t>(pairs, g.pairs.capacity)));
    recording_->set(g.first_tiles, uint32_t(first_tiles.size()));
    recording_->set(g.first_pairs, tokens_);
}

void Session::set_embeddings(std::span<const float> values) {
    if (!options_.from_embeddings || values.size() != size_t(tokens_) * model_.config().hidden_size)
        fail(ErrorCode::invalid_argument,
             "{} embedding values do not fit {} tokens of a session {} embeddings", values.size(), tokens_,
             options_.from_embeddings ? "from" : "that is not from");
    put<float>(graph_->embeddings, values);
    input_.flush(0, input_.bytes());
}

Matrix Session::read(size_t which) {
    const Tensor& t = graph_->results.at(which);
    Matrix m;
    m.rows = t.rows.constant() ? t.rows.capacity : recording_->value(t.rows.symbol);
    m.columns = t.columns;
    const size_t pitch = t.pitch;
    m.values.resize(size_t(m.rows) * pitch);
    download(model_.device(), outputs_.at(t.storage), t.offset, std::as_writable_bytes(std::span(m.values)));
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
    download(model_.device(), outputs_.at(graph_->top_k_ids.storage), 0,
             std::as_writable_bytes(std::span(ids)));
    return ids;
}

size_t Session::results() const {
    return graph_->results.size();
}

}  // namespace vkbert
