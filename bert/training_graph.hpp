// One pass of training as ops on a plan: encoder and head forward and backward, gradients added to what is
// there. Devlin et al. 2018, sections 3 and 4; written by hand next to the forward, without a tape.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bert/layers.hpp"
#include "runtime/training_ops.hpp"

namespace vkbert {

struct TrainingGraphOptions {
    float hidden_dropout = 0;      // of embeddings and both sub-layers' outputs
    float attention_dropout = 0;   // of attention probabilities
    float classifier_dropout = 0;  // of what the classifier reads
    /// Keep only each layer's input, and compute the rest of the layer again on the way back.
    bool recompute = false;
    /// What is not trained: 1 the embeddings, 1 + n the embeddings and the first n layers.
    uint32_t frozen = 0;
};

/// Which dropout masks belong together: every place in the model where the paper has one (appendix A.2) draws
/// its own.
namespace dropout_site {
constexpr uint32_t embeddings = 0, head = 1;
constexpr uint32_t attention(uint32_t layer) {
    return 2 + 3 * layer;
}
constexpr uint32_t projection(uint32_t layer) {
    return 3 + 3 * layer;
}
constexpr uint32_t feed_forward(uint32_t layer) {
    return 4 + 3 * layer;
}
}  // namespace dropout_site

/// A Graph whose plan ends with gradients. The host fills, beside Graph's inputs, `labels` or `targets`,
/// `dropout_state` and `scalars`.
struct TrainingGraph : Graph {
    TrainingGraph(Plan plan_, const Config& config_, const WeightTable& weights_,
                  const ModelOptions& model_options_, const SessionOptions& sizes,
                  const TrainingGraphOptions& training_);

    TrainingGraphOptions training;
    Extent questions;         // Q <= S: multiple choice, whose sequences are choices
    Tensor dropout_state;     // (1,4) uint32: ops::Dropout
    Tensor labels;            // uint32: (S,1) classes, (T,1) of tokens, (S,2) start and end, (Q,1) choices,
                              // (R,1) words
    Tensor targets;           // (S,1) fp32, regression
    Tensor question_offsets;  // (S+1,1) uint32: question q's choices are sequences offsets[q] to offsets[q+1]
    Tensor scalars;           // shaders/training_scalars.h; bound by the caller
    Tensor loss;  // fp32, an element a label; the loss is their sum times the factor in the scalars
    ops::EmbeddingRows words, places, segments;  // tokens by row of the three embedding tables
    std::map<StorageId, std::string> bound_gradients;

    /// The rows of the last hidden state that the head reads (R,1): first tokens or masked tokens; nullopt
    /// for all of the T tokens. The last layer computes no others behind its attention.
    std::optional<Tensor> head_rows() const;
    /// Gradient of a weight, fp32, of its shape. Bound on first use.
    Tensor gradient(const std::string& name);
    bool trains_embeddings() const { return training.frozen == 0; }
    /// Layers from this one on are trained.
    uint32_t first_layer() const { return training.frozen == 0 ? 0 : training.frozen - 1; }
    ops::Dropout dropout(float probability, uint32_t site) const {
        return {probability, site, dropout_state};
    }

  private:
    std::map<std::string, Tensor> gradients_;
};

/// Appends everything: forward, loss, backward.
void build_training(TrainingGraph& graph);

// The parts, in bert/training_layers.cpp (encoder) and bert/training_heads.cpp.

/// d_w += d_y^T x and d_b += column sums of d_y for the linear layer `name`; d_x = d_y W, as `d_x_options`
/// say, unless d_x is null. d_y (R,N) has zeros between its columns and the next multiple of 4.
void linear_backward(TrainingGraph& graph, const std::string& label, const LinearNames& name,
                     const Tensor& d_y, const Tensor& x, const Tensor* d_x,
                     ops::MatmulOptions d_x_options = {});

/// Layer normalisation of x (R,H) that keeps mean and rstd (R,1) for the way back.
Tensor layer_norm_kept(TrainingGraph& graph, const std::string& label, const Tensor& x,
                       const std::string& name, Tensor& mean, Tensor& rstd);
Tensor layer_norm_backward(TrainingGraph& graph, const std::string& label, const std::string& name,
                           const Tensor& d_y, const Tensor& x, const Tensor& mean, const Tensor& rstd);

/// The head on the last hidden state (R,H), its loss, and the gradient of that hidden state (R,H).
Tensor head_and_loss(TrainingGraph& graph, const Tensor& last);

}  // namespace vkbert
