// A session: one plan over a model for batches of bounded size, recorded once and replayed for every batch.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "bert/batch.hpp"
#include "bert/model.hpp"
#include "runtime/bound_buffer.hpp"
#include "runtime/ops.hpp"
#include "runtime/recording.hpp"

namespace vkbert {

/// What a session computes.
enum class Output : uint8_t {
    hidden_states,  // (T,H) for each of SessionOptions::layers
    sentence,       // (S,H) pooled by SessionOptions::pooling, for each of layers
    pooler,         // (S,H) tanh(dense([CLS])): Devlin et al. 2018, section 3.1
    logits,         // of the model's head: (S,C), (T,C), (S,1), or masked LM (R,V)
    top_k,          // masked LM: the SessionOptions::top_k most probable words of each of R rows
};

struct SessionOptions {
    Output output = Output::hidden_states;
    uint32_t max_tokens = 4096;    // T at most
    uint32_t max_sequences = 256;  // S at most
    uint32_t max_rows = 64;        // R at most (masked LM)
    /// Hidden states wanted: 0 is the embeddings' output, 1..L the layers', negative counts from the end (-1
    /// the last).
    std::vector<int> layers{-1};
    ops::Pooling pooling = ops::Pooling::mean;
    bool normalize = false;  // sentence: rows of length 1
    uint32_t top_k = 5;
    bool causal = false;           // attend to the left only (the paper's LTR ablation)
    bool from_embeddings = false;  // set_embeddings() instead of word pieces: hidden state 0 is given
    bool profile = false;
    KernelChoices kernels;  // forced variants
    Tuning tuning;          // measured choices; part of what the bits depend on
};

/// A matrix on the host.
struct Matrix {
    uint32_t rows = 0, columns = 0;
    std::vector<float> values;  // (rows, columns)
};

class Session {
  public:
    Session(Model& model, const SessionOptions& options);
    ~Session();
    Session(const Session&) = delete;

    /// Device memory that a session of these options allocates, computed without a device.
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&,
                                  const SessionOptions&);
    /// Largest max_tokens that the device's limits allow a session on this model.
    static uint32_t max_tokens(const Capabilities&, const Config&, Precision);

    /// Copies a batch in. Throws invalid_argument when it is over the session's size or the model's
    /// vocabulary, segments or positions. Not while a run is under way.
    void set_input(const Batch& batch);
    /// Hidden state 0 (T,H) of the batch set last, for sessions made with from_embeddings.
    void set_embeddings(std::span<const float> values);

    uint64_t submit() { return recording_->submit(); }
    void wait(uint64_t ticket) { recording_->wait(ticket); }
    void run() { recording_->run(); }

    /// After a run: result `which` (one a layer for hidden_states and sentence, else one). For top_k the
    /// probabilities.
    Matrix read(size_t which = 0);
    /// After a run with Output::top_k: word ids, as many as read().values.
    std::vector<uint32_t> read_top_k_ids();
    size_t results() const;

    const Plan& plan() const { return recording_->plan(); }
    Recording& recording() { return *recording_; }
    const SessionOptions& options() const { return options_; }

  private:
    struct Graph;
    Model& model_;
    SessionOptions options_;
    std::unique_ptr<Graph> graph_;
    BoundBuffer inputs_, outputs_;
    std::unique_ptr<Recording> recording_;
    uint32_t tokens_ = 0, rows_ = 0;
};

}  // namespace vkbert
