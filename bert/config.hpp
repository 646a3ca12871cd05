// config.json: the shape and settings of a BERT model, in Hugging Face's spelling.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ops.hpp"

namespace vkbert {

/// The fields of transformers' BertConfig that matter here; what a file leaves out has BertConfig's default.
struct Config {
    uint32_t hidden_size = 768;              // H, a multiple of 4 and of the heads
    uint32_t num_hidden_layers = 12;         // L
    uint32_t num_attention_heads = 12;       // A
    uint32_t intermediate_size = 3072;       // F, a multiple of 4
    uint32_t vocab_size = 30522;             // V
    uint32_t max_position_embeddings = 512;  // P
    uint32_t type_vocab_size = 2;
    std::string hidden_act = "gelu";
    float layer_norm_eps = 1e-12f;
    float hidden_dropout_prob = 0.1f;
    float attention_probs_dropout_prob = 0.1f;
    std::optional<float> classifier_dropout;  // absent: hidden_dropout_prob
    float initializer_range = 0.02f;
    std::optional<uint32_t> pad_token_id = 0;
    bool is_decoder = false;          // attention is causal
    bool tie_word_embeddings = true;  // the masked-LM decoder is the word embeddings
    std::vector<std::string> labels;  // id2label in order of id; two LABEL_n unless the file says otherwise
    std::string
        problem_type;  // "", "regression", "single_label_classification", "multi_label_classification"
    std::vector<std::string> architectures;  // "BertForMaskedLM", ...

    uint32_t head_size() const { return hidden_size / num_attention_heads; }  // D
    uint32_t num_labels() const { return uint32_t(labels.size()); }
    /// gelu is the erf form; gelu_new and its synonyms are the tanh form.
    ops::Activation activation() const;
};

/// `text` is config.json's; messages begin with `name`.
/// Errors: invalid_input for malformed JSON, wrong types and absurd values; unsupported for models that are
/// not BERT's encoder (model_type, position_embedding_type, hidden_act, cross attention)
/// and for sizes that are not multiples of 4. Each names the field.
Config parse_config(std::string_view text, std::string_view name);
/// parse_config of a file, or of config.json in a folder.
Config read_config(const std::filesystem::path& path);
/// config.json as transformers reads it.
std::string config_json(const Config& config);

/// "base", "large" (Devlin et al. 2018, section 3), "tiny" (L 2, H 128, A 2, F 512), or "L,H,A,F".
/// Errors: invalid_argument.
Config config_of_shape(std::string_view shape);

}  // namespace vkbert
