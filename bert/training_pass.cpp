#include "bert/training_pass.hpp"

#include <algorithm>
#include <numeric>

#include "bert/graph_inputs.hpp"
#include "bert/training_graph.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

SessionOptions sizes_of(const TrainingPassOptions& o, const Config& config, Head head) {
    SessionOptions sizes;
    sizes.max_tokens = o.max_tokens, sizes.max_sequences = o.max_sequences;
    sizes.max_rows = o.max_predictions ? o.max_predictions : head == Head::masked_lm ? o.max_tokens : 1;
    sizes.causal = config.is_decoder;
    sizes.profile = o.profile, sizes.kernels = o.kernels;
    return sizes;
}

TrainingGraphOptions graph_options(const TrainingPassOptions& o) {
    return {o.hidden_dropout, o.attention_dropout, o.classifier_dropout, o.recompute, o.frozen};
}

void check_labels(const std::vector<uint32_t>& labels, size_t count, uint32_t limit, const char* what) {
    if (labels.size() != count)
        fail(ErrorCode::invalid_argument, "{} labels for {} {}", labels.size(), count, what);
    for (size_t i = 0; i < count; ++i)
        if (labels[i] != ignored_label && labels[i] >= limit)
            fail(ErrorCode::invalid_argument, "label {} of {} {}: there are {} classes", labels[i], what, i,
                 limit);
}

}  // namespace

uint64_t TrainingPass::planned_bytes(const Capabilities& capabilities, const Config& config,
                                     const ModelOptions& model_options, const TrainingPassOptions& options) {
    const WeightTable weights = weight_table(capabilities, config, model_options);
    const SessionOptions sizes = sizes_of(options, config, model_options.head);
    TrainingGraph g(Plan(capabilities, options.kernels, options.tuning), config, weights, model_options,
                    sizes, graph_options(options));
    build_training(g);
    return Recording::planned_bytes(g.plan) + BoundBuffer::planned_bytes(g.plan, g.inputs) +
           BoundBuffer::planned_bytes(g.plan, g.results);
}

TrainingPass::TrainingPass(Model& model, const WeightArena& gradients, const BufferRange& scalars,
                           const TrainingPassOptions& options)
    : model_(model), options_(options), sizes_(sizes_of(options, model.config(), model.head())) {
    graph_ = std::make_unique<TrainingGraph>(
        Plan(model.device().capabilities(), options_.kernels, options_.tuning), model.config(),
        model.weights(), model.options(), sizes_, graph_options(options_));
    TrainingGraph& g = *graph_;
    build_training(g);
    std::map<StorageId, BufferRange> bound;
    for (const auto& [storage, weight] : g.bound_weights) bound[storage] = weight->range;
    for (const auto& [storage, name] : g.bound_gradients) bound[storage] = gradients.range(name);
    bound[g.scalars.storage] = scalars;
    inputs_ = BoundBuffer(model.device(), g.plan, g.inputs, MemoryRole::upload);
    results_ = BoundBuffer(model.device(), g.plan, g.results, MemoryRole::readback);
    inputs_.add_to(bound);
    results_.add_to(bound);
    recording_ = std::make_unique<Recording>(model.device(), model.pipelines(), g.plan, bound,
                                             Recording::Options{.profile = options.profile});
}

TrainingPass::~TrainingPass() = default;

void TrainingPass::put_labels(const PackedExamples& e) {
    TrainingGraph& g = *graph_;
    const Batch& batch = e.batch;
    const uint32_t S = batch.sequences();
    switch (model_.head()) {
        case Head::token_classification:
            check_labels(e.token_labels, batch.tokens(), model_.config().num_labels(), "tokens");
            inputs_.put<uint32_t>(g.labels, e.token_labels);
            losses_ = batch.tokens();
            return;
        case Head::masked_lm:
            check_labels(e.masked_words, batch.rows.size(), model_.config().vocab_size, "masked tokens");
            inputs_.put<uint32_t>(g.labels, e.masked_words);
            losses_ = e.masked_words.size();
            return;
        case Head::question_answering: {
            check_labels(e.span_starts, S, batch.tokens(), "starts");
            check_labels(e.span_ends, S, batch.tokens(), "ends");
            std::vector<uint32_t> spans;
            for (uint32_t s = 0; s < S; ++s) spans.insert(spans.end(), {e.span_starts[s], e.span_ends[s]});
            inputs_.put<uint32_t>(g.labels, spans);
            losses_ = spans.size();
            return;
        }
        case Head::multiple_choice:
            check_labels(e.classes, e.examples.size(), S, "questions");
            inputs_.put<uint32_t>(g.labels, e.classes);
            inputs_.put<uint32_t>(g.question_offsets, e.sequence_offsets);
            recording_->set(g.questions, uint32_t(e.classes.size()));
            losses_ = e.classes.size();
            return;
        default:
            break;
    }
    losses_ = S;
    if (model_.head() == Head::sequence_classification && model_.config().num_labels() == 1) {
        if (e.values.size() != S)
            fail(ErrorCode::invalid_argument, "{} values for {} sequences", e.values.size(), S);
        inputs_.put<float>(g.targets, e.values);
        return;
    }
    check_labels(e.classes, S, model_.head() == Head::next_sentence ? 2 : model_.config().num_labels(),
                 "sequences");
    inputs_.put<uint32_t>(g.labels, e.classes);
}

void TrainingPass::put_buckets(const PackedExamples& e) {
    TrainingGraph& g = *graph_;
    if (!g.trains_embeddings()) return;
    const auto put = [&](const ops::EmbeddingRows& to, const std::vector<uint32_t>& ids) {
        const ops::EmbeddingBuckets buckets = ops::embedding_buckets(ids);
        inputs_.put<uint32_t>(to.order, buckets.order);
        inputs_.put(to.pieces, std::span(buckets.pieces));
        inputs_.put(to.sums, std::span(buckets.sums));
        recording_->set(to.pieces.rows, uint32_t(buckets.pieces.size()));
        recording_->set(to.sums.rows, uint32_t(buckets.sums.size()));
    };
    put(g.words, e.batch.ids);
    put(g.places, e.batch.positions);
    put(g.segments, e.batch.types);
}

void TrainingPass::set_input(const PackedExamples& examples, const DropoutState& dropout) {
    check_batch(model_.config(), sizes_, examples.batch);
    put_labels(examples);
    put_batch(inputs_, *recording_, *graph_, examples.batch);
    put_buckets(examples);
    const uint32_t state[] = {uint32_t(dropout.seed), uint32_t(dropout.seed >> 32), dropout.step, 0};
    inputs_.put<uint32_t>(graph_->dropout_state, state);
    inputs_.flush();
}

double TrainingPass::loss_sum() {
    std::vector<float> losses(losses_);
    const BufferRange range = results_.range(graph_->loss);
    range.buffer->invalidate(range.offset, range.bytes);
    std::memcpy(losses.data(), range.buffer->mapped() + range.offset, losses.size() * sizeof(float));
    return std::accumulate(losses.begin(), losses.end(), 0.0);
}

uint64_t counted_losses(const Example& example) {
    if (const auto* tokens = std::get_if<TokenLabels>(&example.label))
        return tokens->labels.size() - size_t(std::ranges::count(tokens->labels, ignored_label));
    if (const auto* masked = std::get_if<MaskedLabels>(&example.label)) return masked->words.size();
    return std::holds_alternative<SpanLabel>(example.label) ? 2 : 1;
}

}  // namespace vkbert
