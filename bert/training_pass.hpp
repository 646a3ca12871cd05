// Forward and backward over one micro-batch, recorded once: gradients are added to what is there.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bert/batches.hpp"
#include "bert/model.hpp"
#include "bert/session.hpp"
#include "bert/weight_arena.hpp"

namespace vkbert {

struct TrainingGraph;

/// Sizes and choices of a pass. Dropout probabilities are those that take effect: of the 256 levels of
/// ops::Dropout the nearest is used.
struct TrainingPassOptions {
    uint32_t max_tokens = 2048;    // T at most
    uint32_t max_sequences = 128;  // S at most
    uint32_t max_predictions = 0;  // masked LM: masked tokens at most; 0: as many as tokens
    float hidden_dropout = 0;      // of embeddings and both sub-layers' outputs
    float attention_dropout = 0;   // of attention probabilities
    float classifier_dropout = 0;  // of what the classifier reads
    /// Keep only each layer's input, and compute the rest of the layer again on the way back.
    bool recompute = false;
    /// What is not trained: 1 the embeddings, 1 + n the embeddings and the first n layers.
    uint32_t frozen = 0;
    bool profile = false;
    KernelChoices kernels;  // forced variants
    Tuning tuning;          // measured choices; part of what the bits depend on
};

/// What the masks of dropout are drawn from: every (seed, step) has its own.
struct DropoutState {
    uint64_t seed = 0;
    uint32_t step = 0;  // of micro-batches
};

class TrainingPass {
  public:
    /// scalars: shaders/training_scalars.h, kept by the caller. Throws invalid_argument for a head without a
    /// loss.
    TrainingPass(Model& model, const WeightArena& gradients, const BufferRange& scalars,
                 const TrainingPassOptions& options);
    ~TrainingPass();
    TrainingPass(const TrainingPass&) = delete;

    /// Device memory of a pass, beside model, gradients and optimizer; computed without a device.
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&,
                                  const TrainingPassOptions&);

    /// Copies a micro-batch in. Throws invalid_argument when it is over the sizes or the model's vocabulary,
    /// segments, positions or labels. Not while a run is under way.
    void set_input(const PackedExamples& examples, const DropoutState& dropout);
    uint64_t submit() { return recording_->submit(); }
    void wait(uint64_t ticket) { recording_->wait(ticket); }

    /// After a run: the losses of the labels that count, added up in the order of the batch.
    double loss_sum();
    const Plan& plan() const { return recording_->plan(); }
    Recording& recording() { return *recording_; }
    const TrainingPassOptions& options() const { return options_; }

  private:
    void put_labels(const PackedExamples& examples);
    void put_buckets(const PackedExamples& examples);

    Model& model_;
    TrainingPassOptions options_;
    SessionOptions sizes_;
    std::unique_ptr<TrainingGraph> graph_;
    BoundBuffer inputs_, results_;
    std::unique_ptr<Recording> recording_;
    size_t losses_ = 0;
};

/// Losses that an optimizer step counts for an example: itself, its tokens with a label, its masked tokens,
/// or (question answering) its start and its end. The loss of a step is the mean over them.
uint64_t counted_losses(const Example& example);

}  // namespace vkbert
