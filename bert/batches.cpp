#include "bert/batches.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "bert/random_bits.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

template <typename... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

uint32_t or_unlimited(uint32_t limit) {
    return limit ? limit : std::numeric_limits<uint32_t>::max();
}

}  // namespace

std::vector<uint32_t> shuffled_order(uint32_t count, uint64_t seed, uint64_t epoch) {
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    const RandomStream random(seed, epoch);
    for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
    return order;
}

void PackedExamples::clear() {
    batch.clear();
    examples.clear(), classes.clear(), values.clear(), token_labels.clear(), masked_words.clear();
    span_starts.clear(), span_ends.clear();
    sequence_offsets.assign(1, 0);
}

void PackedExamples::add(const Example& example, uint32_t index) {
    const uint32_t first_token = batch.tokens();
    for (const TokenSequence& sequence : example.sequences) batch.add(sequence.ids, sequence.types);
    examples.push_back(index);
    sequence_offsets.push_back(batch.sequences());
    std::visit(Overloaded{
                   [&](const ClassLabel& label) { classes.push_back(label.index); },
                   [&](const ValueLabel& label) { values.push_back(label.value); },
                   [&](const TokenLabels& label) {
                       token_labels.insert(token_labels.end(), label.labels.begin(), label.labels.end());
                   },
                   [&](const MaskedLabels& label) {
                       for (const uint32_t place : label.places) batch.rows.push_back(first_token + place);
                       masked_words.insert(masked_words.end(), label.words.begin(), label.words.end());
                   },
                   [&](const SpanLabel& label) {
                       span_starts.push_back(label.start);
                       span_ends.push_back(label.end);
                   },
                   [&](const ChoiceLabel& label) { classes.push_back(label.index); },
               },
               example.label);
}

BatchStream::BatchStream(std::span<const Example> examples, const BatchOptions& options)
    : examples_(examples), options_(options) {
    if (examples.empty()) fail(ErrorCode::invalid_argument, "batches of no examples");
    if (examples.size() >= std::numeric_limits<uint32_t>::max())
        fail(ErrorCode::invalid_argument, "{} examples are too many", examples.size());
    if (options.batch_size == 0) fail(ErrorCode::invalid_argument, "a batch size of 0");
    options_.token_budget = or_unlimited(options.token_budget);
    options_.sequence_limit = or_unlimited(options.sequence_limit);
    for (const Example& example : examples)
        if (example.tokens() > options_.token_budget || example.sequences.size() > options_.sequence_limit)
            fail(ErrorCode::invalid_argument,
                 "example {} has {} tokens in {} sequences; a micro-batch holds {} tokens in {} at most",
                 &example - examples.data(), example.tokens(), example.sequences.size(),
                 options_.token_budget, options_.sequence_limit);
    begin_epoch(0);
}

void BatchStream::begin_epoch(uint64_t epoch) {
    const uint32_t count = uint32_t(examples_.size());
    position_ = {epoch, 0};
    if (options_.shuffle) {
        order_ = shuffled_order(count, options_.seed, epoch);
    } else if (order_.empty()) {
        order_.resize(count);
        std::iota(order_.begin(), order_.end(), 0u);
    }
}

ExampleBatch BatchStream::next() {
    ExampleBatch result;
    result.position = position_;
    const size_t end = std::min<size_t>(position_.index + options_.batch_size, order_.size());
    uint64_t tokens = 0, sequences = 0;
    for (; position_.index < end; ++position_.index) {
        const uint32_t index = order_[position_.index];
        const Example& example = examples_[index];
        tokens += example.tokens();
        sequences += example.sequences.size();
        if (result.micro_batches.empty() || tokens > options_.token_budget ||
            sequences > options_.sequence_limit) {
            result.micro_batches.emplace_back();
            tokens = example.tokens();
            sequences = example.sequences.size();
        }
        result.micro_batches.back().push_back(index);
    }
    if (position_.index == order_.size()) begin_epoch(position_.epoch + 1);
    return result;
}

void BatchStream::seek(DataPosition position) {
    if (position.index >= examples_.size())
        fail(ErrorCode::invalid_input, "the data position {} lies outside the {} examples: other data?",
             position.index, examples_.size());
    begin_epoch(position.epoch);
    position_ = position;
}

}  // namespace vkbert
