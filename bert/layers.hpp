// The encoder and the heads as ops on a plan: Devlin et al. 2018, Vaswani et al. 2017, section 3.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bert/model.hpp"
#include "bert/session.hpp"

namespace vkbert {

/// A session's plan with the tensors that the host fills and reads.
struct Graph {
    Graph(Plan plan_, const Config& config_, const WeightTable& weights_, const ModelOptions& model_options_,
          const SessionOptions& options_);

    Plan plan;
    const Config& config;
    const WeightTable& weights;
    const ModelOptions& model_options;
    const SessionOptions& options;
    Type type;  // of activations and matrices

    Extent tokens, sequences, rows;     // T, S, R
    Extent tiles, pairs;                // attention tiles; query-key pairs, which only the profiler reads
    Extent first_tiles, first_pairs;    // tiles of the sequences' first tokens alone
    Tensor ids, types, positions;       // (T,1) uint32
    Tensor offsets;                     // (S+1,1) uint32
    Tensor tile_list, first_tile_list;  // (tiles,4), (S,4) uint32
    Tensor row_list;                    // (R,1) uint32
    Tensor embeddings;                  // (T,H) fp32, with from_embeddings
    std::vector<Tensor> inputs;         // those of the above that exist: bound by the session
    std::vector<Tensor> results;        // fp32, on the host after a run
    Tensor top_k_ids;                   // (R,k) uint32
    std::map<StorageId, const Weight*> bound_weights;

    /// The tensor of a weight, or of its strips; bound on first use.
    Tensor weight(const std::string& name);
    /// (rows,columns) of the model's type, whose pitch may be larger.
    Tensor temporary(const std::string& name, Extent rows_, uint32_t columns);
    /// (rows,columns) fp32 that the host reads after a run.
    Tensor result(const std::string& name, Extent rows_, uint32_t columns);
    /// Pitches are multiples of 4 elements, whatever the columns.
    static constexpr uint32_t padded(uint32_t columns) { return (columns + 3) / 4 * 4; }

  private:
    std::map<std::string, Tensor> bound_;
};

/// Appends everything: embeddings, encoder, head or pooling, results.
void build(Graph& graph);

// The parts, in bert/layers.cpp (encoder) and bert/heads.cpp.

/// (T,H) hidden state 0.
Tensor embed(Graph& graph);

/// Whether a head reads each sequence's first token only; those rows (S,1).
bool reads_first_tokens(Head head);
Tensor first_token_rows(const Graph& graph);

/// Which rows the last layer computes: a pass that reads only some rows computes its last layer only for
/// them.
struct LastRows {
    bool restricted = false;
    Tensor list;       // (R,1) uint32 packed rows
    Tensor tile_list;  // attention tiles that cover them
    Extent tiles, pairs;
};

/// One encoder layer: (T,H) -> (T,H), or (R,H) when restricted. `output`, if given, receives the result.
Tensor encoder_layer(Graph& graph, uint32_t layer, const Tensor& x, const LastRows& last,
                     const Tensor* output);

/// What a linear layer's parameters are called.
struct LinearNames {
    LinearNames(const std::string& name) : weight(name + ".weight"), bias(name + ".bias") {}
    LinearNames(const char* name) : LinearNames(std::string(name)) {}
    LinearNames(std::string weight_, std::string bias_)
        : weight(std::move(weight_)), bias(std::move(bias_)) {}
    std::string weight, bias;
};
/// Of the masked LM's output layer, whose matrix is the word embeddings unless the model has its own.
LinearNames decoder_names(const Graph& graph);
/// Throws invalid_argument when logits (R,V) would be larger than a binding can be.
void check_vocabulary_logits(const Graph& graph);

/// C = activation(A W^T + b) + residual; `options` has all but the bias.
void linear(Graph& graph, const std::string& label, const Tensor& output, const Tensor& input,
            const LinearNames& name, ops::MatmulOptions options = {});
void layer_norm(Graph& graph, const std::string& label, const Tensor& output, const Tensor& input,
                const std::string& name);

/// Appends the model's head on the last hidden state: (T,H) for token heads, (S,H) or (R,H) where rows were
/// restricted.
void append_head(Graph& graph, const Tensor& last);

}  // namespace vkbert
