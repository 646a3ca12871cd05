// The order in which examples are learned from, and how they are grouped into batches and micro-batches.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bert/batch.hpp"
#include "bert/tasks/example.hpp"

namespace vkbert {

/// A permutation of 0 .. count - 1 (Fisher-Yates), a pure function of its arguments: an epoch's order is
/// known without those before it.
std::vector<uint32_t> shuffled_order(uint32_t count, uint64_t seed, uint64_t epoch);

/// Examples packed for one pass, and their labels in the form that the head's loss reads; the fields of other
/// heads are empty. S sequences, T tokens, E examples.
struct PackedExamples {
    Batch batch;
    std::vector<uint32_t> examples;                // (E) indices of the examples
    std::vector<uint32_t> sequence_offsets{0};     // (E+1) example e is sequences [e] .. [e+1]: its choices
    std::vector<uint32_t> classes;                 // (E) of ClassLabel and ChoiceLabel
    std::vector<float> values;                     // (E)
    std::vector<uint32_t> token_labels;            // (T) ignored_label where there is none
    std::vector<uint32_t> masked_words;            // (R) what stood at batch.rows
    std::vector<uint32_t> span_starts, span_ends;  // (E) tokens counted within the sequence

    void clear();
    /// Appends an example; all of one PackedExamples have one kind of label.
    void add(const Example& example, uint32_t index);
};

struct BatchOptions {
    uint32_t batch_size = 32;     // examples an optimizer step learns from
    uint32_t token_budget = 0;    // most tokens in a micro-batch; 0: no limit
    uint32_t sequence_limit = 0;  // most sequences in a micro-batch; 0: no limit
    uint64_t seed = 0;
    bool shuffle = true;  // false: in the order of the file, for evaluation
};

/// Where a stream of batches stands; to be saved in checkpoints.
struct DataPosition {
    uint64_t epoch = 0;
    uint64_t index = 0;  // examples of the epoch that have been handed out
    friend bool operator==(const DataPosition&, const DataPosition&) = default;
};

/// What one optimizer step learns from. Gradients of its micro-batches add up; the loss is the mean over all
/// its examples (token classification: over all its labelled tokens), so that the split does not matter.
struct ExampleBatch {
    DataPosition position;                             // of its first example
    std::vector<std::vector<uint32_t>> micro_batches;  // indices of examples, in order

    size_t examples() const {
        size_t count = 0;
        for (const auto& one : micro_batches) count += one.size();
        return count;
    }
};

/// Batches without end, epoch after epoch; every example exactly once an epoch, the last batch of an epoch
/// may be smaller. The sequence of batches is a pure function of the examples' lengths and the options.
class BatchStream {
  public:
    /// `examples` must outlive the stream. Errors: invalid_argument for no examples, a batch size of 0, and
    /// an example that alone exceeds the token budget or sequence limit.
    BatchStream(std::span<const Example> examples, const BatchOptions& options);

    ExampleBatch next();
    /// Of the example that next() begins with.
    DataPosition position() const { return position_; }
    /// Continues from a position that position() gave, with any batch size: what follows is what would have
    /// followed. Errors: invalid_input for a position outside the data (another data set).
    void seek(DataPosition position);
    uint64_t batches_per_epoch() const {
        return (examples_.size() + options_.batch_size - 1) / options_.batch_size;
    }

  private:
    void begin_epoch(uint64_t epoch);

    std::span<const Example> examples_;
    BatchOptions options_;
    std::vector<uint32_t> order_;
    DataPosition position_;
};

}  // namespace vkbert
