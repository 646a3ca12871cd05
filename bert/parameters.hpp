// The one table of parameters: loader, gradients, optimizer, checkpoints and tests iterate it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bert/checkpoint.hpp"
#include "bert/config.hpp"

namespace vkbert {

/// What stands on the encoder: transformers' BertModel, BertForMaskedLM, ...
enum class Head : uint8_t {
    none,
    masked_lm,
    next_sentence,
    pretraining,  // masked_lm and next_sentence
    sequence_classification,
    token_classification,
    question_answering,
    multiple_choice,
};

/// "masked_lm", ...
std::string_view name_of(Head head);
/// transformers' class: "BertForMaskedLM", ...
std::string_view architecture_of(Head head);
/// Whether the head reads the pooler's output.
constexpr bool needs_pooler(Head head) {
    return head == Head::next_sentence || head == Head::pretraining ||
           head == Head::sequence_classification || head == Head::multiple_choice;
}

enum class InitialValues : uint8_t { zeros, ones, truncated_normal };

struct Parameter {
    std::string name;             // in Hugging Face's spelling for the head's class
    std::vector<uint64_t> shape;  // (out, in) of a matrix, (n) of a vector
    bool decays = false;          // weight decay: matrices and embeddings, not biases and LayerNorm
    InitialValues initial = InitialValues::zeros;
    bool joined = false;  // to lie in memory right behind the row before: key behind query, value behind key

    uint64_t elements() const { return shape.size() == 1 ? shape[0] : shape[0] * shape[1]; }
};

/// Rows in a fixed order, decayed ones first. Query, key and value weights of a layer are adjacent in this
/// order, as are their biases, so that they can be used as one (3H,H) matrix and one (3H) vector.
class ParameterTable {
  public:
    /// `pooler`: with pooler even if the head does not need it.
    /// `embeddings`: false for an encoder that starts from given hidden states.
    ParameterTable(const Config& config, Head head, bool pooler = false, bool embeddings = true);

    const std::vector<Parameter>& rows() const { return rows_; }
    /// Rows [0, decayed()) decay.
    size_t decayed() const { return decayed_; }
    Head head() const { return head_; }
    /// Whether the masked-LM decoder is the word embeddings.
    bool tied() const { return tied_; }
    uint64_t elements() const;
    /// The row of a name, given with or without "bert.": "encoder.layer.0.output.dense.weight",
    /// "classifier.bias". Errors: invalid_argument for a name that is not in the table.
    size_t index(std::string_view name) const;
    bool contains(std::string_view name) const;

  private:
    void add_all(const Config& config, bool pooler, bool embeddings, bool decays);
    void add_layer(const Config& config, uint32_t layer, bool decays);
    void add_head(const Config& config, bool decays);
    void add(std::string name, std::vector<uint64_t> shape);

    Head head_;
    bool tied_;
    std::vector<Parameter> rows_;
    size_t decayed_ = 0;
    std::unordered_map<std::string, size_t> by_name_;  // without "bert."
};

/// The head of a checkpoint, by the config's architectures and, where these say nothing, by its tensors.
Head detect_head(const Config& config, const Checkpoint& checkpoint);
/// Whether the checkpoint has a pooler.
bool has_pooler(const Checkpoint& checkpoint);

enum class MissingHead : uint8_t {
    error,       // every row must come from the checkpoint
    initialise,  // rows of the head and pooler may be missing (fine-tuning from a pre-trained encoder)
};

/// Where the rows of a table come from.
struct ParameterSources {
    std::vector<const StoredTensor*> tensors;  // by row of the table; nullptr: to be initialised
    std::vector<std::string> unused;           // tensors of the checkpoint that no row needs
};

/// Finds every row in the checkpoint: with or without "bert.", LayerNorm's gamma and beta under their old
/// names, tied tensors under either name. Errors: invalid_input listing missing tensors, or naming the file
/// and the tensor whose shape does not fit the config.
ParameterSources match_parameters(const ParameterTable& table, const Checkpoint& checkpoint,
                                  MissingHead missing = MissingHead::error);

}  // namespace vkbert
