#include "bert/evaluation.hpp"

#include <algorithm>

namespace vkbert {

namespace {

/// First row of logits of each sequence boundary: tokens where the head has a row a token.
uint32_t first_row(Head head, const Batch& batch, uint32_t sequence) {
    const bool by_token = head == Head::token_classification || head == Head::question_answering;
    return by_token ? batch.offsets[sequence] : sequence;
}

SessionOptions session_options(const Capabilities& capabilities, const Config& config, Precision precision,
                               std::span<const Example> examples, const EvaluationOptions& options) {
    uint32_t longest = 1, most = 1;
    uint64_t tokens = 1, sequences = 1;
    for (const Example& example : examples) {
        longest = std::max(longest, example.tokens());
        most = std::max(most, uint32_t(example.sequences.size()));
        tokens += example.tokens(), sequences += example.sequences.size();
    }
    const uint64_t allowed = Session::max_tokens(capabilities, config, precision);
    SessionOptions session;
    session.output = Output::logits;
    session.max_tokens =
        std::max(longest, uint32_t(std::min<uint64_t>({options.max_tokens, allowed, tokens})));
    session.max_sequences = std::max(most, uint32_t(std::min<uint64_t>(options.max_sequences, sequences)));
    session.causal = config.is_decoder;
    session.kernels = options.kernels, session.tuning = options.tuning;
    return session;
}

}  // namespace

uint64_t Evaluation::planned_bytes(const Capabilities& capabilities, const Config& config,
                                   const ModelOptions& model, std::span<const Example> examples,
                                   const EvaluationOptions& options) {
    return Session::planned_bytes(capabilities, config, model,
                                  session_options(capabilities, config, model.precision, examples, options));
}

Evaluation::Evaluation(Model& model, std::span<const Example> examples, const EvaluationOptions& options)
    : model_(model), examples_(examples) {
    const SessionOptions session =
        session_options(model.device().capabilities(), model.config(), model.precision(), examples, options);
    batches_.batch_size = uint32_t(std::max<size_t>(examples.size(), 1));
    batches_.token_budget = session.max_tokens, batches_.sequence_limit = session.max_sequences;
    batches_.shuffle = false;
    session_ = std::make_unique<Session>(model, session);
}

void Evaluation::run(const std::function<void(uint32_t, std::span<const float>)>& receive) {
    if (examples_.empty()) return;
    PackedExamples packed;
    for (const std::vector<uint32_t>& micro_batch : BatchStream(examples_, batches_).next().micro_batches) {
        packed.clear();
        for (const uint32_t index : micro_batch) packed.add(examples_[index], index);
        session_->set_input(packed.batch);
        session_->run();
        const Matrix logits = session_->read();
        for (size_t e = 0; e < micro_batch.size(); ++e) {
            const auto row = [&](size_t i) {
                return first_row(model_.head(), packed.batch, packed.sequence_offsets[i]);
            };
            const size_t begin = size_t(row(e)) * logits.columns, end = size_t(row(e + 1)) * logits.columns;
            receive(micro_batch[e], std::span(logits.values).subspan(begin, end - begin));
        }
    }
}

}  // namespace vkbert
