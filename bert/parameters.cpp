#include "bert/parameters.hpp"

#include <array>
#include <unordered_set>
#include <utility>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

struct HeadNames {
    Head head;
    std::string_view name, architecture;
};

constexpr std::array<HeadNames, 8> head_names{{
    {Head::none, "none", "BertModel"},
    {Head::masked_lm, "masked_lm", "BertForMaskedLM"},
    {Head::next_sentence, "next_sentence", "BertForNextSentencePrediction"},
    {Head::pretraining, "pretraining", "BertForPreTraining"},
    {Head::sequence_classification, "sequence_classification", "BertForSequenceClassification"},
    {Head::token_classification, "token_classification", "BertForTokenClassification"},
    {Head::question_answering, "question_answering", "BertForQuestionAnswering"},
    {Head::multiple_choice, "multiple_choice", "BertForMultipleChoice"},
}};

constexpr std::string_view base_prefix = "bert.";

std::string_view without_prefix(std::string_view name) {
    if (name.starts_with(base_prefix)) name.remove_prefix(base_prefix.size());
    return name;
}

bool of_encoder(std::string_view name) {
    name = without_prefix(name);
    return name.starts_with("embeddings.") || name.starts_with("encoder.");
}

// The names a tensor may have in checkpoints, most likely first.
std::vector<std::string> possible_names(std::string_view name, bool tied) {
    std::vector<std::string> names;
    const std::string_view local = without_prefix(name);
    if (of_encoder(name) || local.starts_with("pooler."))
        names.push_back(local.size() < name.size() ? std::string(local)
                                                   : std::string(base_prefix) + std::string(local));
    // The first PyTorch port kept TensorFlow's names of LayerNorm's parameters.
    const auto old_name = [](std::string text, std::string_view suffix, std::string_view old) {
        return text.replace(text.size() - suffix.size(), suffix.size(), old);
    };
    names.insert(names.begin(), std::string(name));
    for (size_t i = 0, count = names.size(); i < count; ++i) {
        if (names[i].ends_with("LayerNorm.weight")) names.push_back(old_name(names[i], "weight", "gamma"));
        if (names[i].ends_with("LayerNorm.bias")) names.push_back(old_name(names[i], "bias", "beta"));
    }
    if (local == "embeddings.word_embeddings.weight" && tied)
        names.emplace_back("cls.predictions.decoder.weight");
    if (local == "cls.predictions.bias") names.emplace_back("cls.predictions.decoder.bias");
    if (local == "cls.predictions.decoder.bias") names.emplace_back("cls.predictions.bias");
    return names;
}

// Tensors that say nothing new: buffers, and the other name of tied parameters.
bool redundant(std::string_view name) {
    return name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids") ||
           name == "cls.predictions.decoder.weight" || name == "cls.predictions.decoder.bias" ||
           name == "cls.predictions.bias";
}

[[noreturn]] void fail_missing(const Checkpoint& checkpoint, const std::vector<std::string>& missing) {
    constexpr size_t shown = 4;
    std::string list;
    for (size_t i = 0; i < missing.size() && i < shown; ++i) list += (i ? ", '" : "'") + missing[i] + "'";
    if (missing.size() > shown) list += fmt::format(" and {} more", missing.size() - shown);
    fail(ErrorCode::invalid_input, "{}: lacks {} of the model's tensors: {}", checkpoint.name(),
         missing.size(), list);
}

// Which field of config.json a shape comes from, where one number tells it.
std::string_view shape_hint(std::string_view name) {
    if (name.ends_with("word_embeddings.weight") || name == "cls.predictions.bias")
        return " (vocab_size, hidden_size)";
    if (name.ends_with("position_embeddings.weight")) return " (max_position_embeddings, hidden_size)";
    if (name.ends_with("token_type_embeddings.weight")) return " (type_vocab_size, hidden_size)";
    if (name.starts_with("classifier.")) return " (number of labels, hidden_size)";
    return "";
}

}  // namespace

std::string_view name_of(Head head) {
    return head_names[size_t(head)].name;
}
std::string_view architecture_of(Head head) {
    return head_names[size_t(head)].architecture;
}

ParameterTable::ParameterTable(const Config& config, Head head, bool pooler, bool embeddings)
    : head_(head), tied_(config.tie_word_embeddings) {
    pooler = pooler || needs_pooler(head);
    add_all(config, pooler, embeddings, true);
    decayed_ = rows_.size();
    add_all(config, pooler, embeddings, false);
    if (!contains("cls.predictions.transform.dense.weight")) return;
    if (tied_) by_name_.emplace("cls.predictions.decoder.weight", index("embeddings.word_embeddings.weight"));
    const char* const names[] = {"cls.predictions.bias", "cls.predictions.decoder.bias"};
    by_name_.emplace(names[tied_ ? 1 : 0], index(names[tied_ ? 0 : 1]));
}

void ParameterTable::add(std::string name, std::vector<uint64_t> shape) {
    Parameter row;
    row.decays = shape.size() == 2;
    row.initial = row.decays                           ? InitialValues::truncated_normal
                  : name.ends_with("LayerNorm.weight") ? InitialValues::ones
                                                       : InitialValues::zeros;
    row.joined =
        name.find(".self.key.") != std::string::npos || name.find(".self.value.") != std::string::npos;
    row.shape = std::move(shape);
    by_name_.emplace(name, rows_.size());
    const bool base = of_encoder(name) || name.starts_with("pooler.");
    row.name = base && head_ != Head::none ? std::string(base_prefix) + name : std::move(name);
    rows_.push_back(std::move(row));
}

void ParameterTable::add_all(const Config& config, bool pooler, bool embeddings, bool decays) {
    const uint64_t H = config.hidden_size;
    if (embeddings && decays) {
        add("embeddings.word_embeddings.weight", {config.vocab_size, H});
        add("embeddings.position_embeddings.weight", {config.max_position_embeddings, H});
        add("embeddings.token_type_embeddings.weight", {config.type_vocab_size, H});
    } else if (embeddings) {
        add("embeddings.LayerNorm.weight", {H});
        add("embeddings.LayerNorm.bias", {H});
    }
    for (uint32_t layer = 0; layer < config.num_hidden_layers; ++layer) add_layer(config, layer, decays);
    if (pooler && decays) add("pooler.dense.weight", {H, H});
    if (pooler && !decays) add("pooler.dense.bias", {H});
    add_head(config, decays);
}

void ParameterTable::add_layer(const Config& config, uint32_t layer, bool decays) {
    const uint64_t H = config.hidden_size, F = config.intermediate_size;
    const std::string prefix = fmt::format("encoder.layer.{}.", layer);
    const auto dense = [&](std::string_view name, uint64_t out, uint64_t in) {
        const std::string full = prefix + std::string(name);
        if (decays)
            add(full + ".weight", {out, in});
        else
            add(full + ".bias", {out});
    };
    const auto layernorm = [&](std::string_view name) {
        if (decays) return;
        add(prefix + std::string(name) + ".LayerNorm.weight", {H});
        add(prefix + std::string(name) + ".LayerNorm.bias", {H});
    };
    dense("attention.self.query", H, H);
    dense("attention.self.key", H, H);
    dense("attention.self.value", H, H);
    dense("attention.output.dense", H, H);
    layernorm("attention.output");
    dense("intermediate.dense", F, H);
    dense("output.dense", H, F);
    layernorm("output");
}

void ParameterTable::add_head(const Config& config, bool decays) {
    const uint64_t H = config.hidden_size;
    const auto dense = [&](const std::string& name, uint64_t out) {
        if (decays)
            add(name + ".weight", {out, H});
        else
            add(name + ".bias", {out});
    };
    if (head_ == Head::masked_lm || head_ == Head::pretraining) {
        dense("cls.predictions.transform.dense", H);
        if (decays && !tied_) add("cls.predictions.decoder.weight", {config.vocab_size, H});
        if (!decays) {
            add("cls.predictions.transform.LayerNorm.weight", {H});
            add("cls.predictions.transform.LayerNorm.bias", {H});
            // transformers adds the decoder's own bias where it is not tied; `cls.predictions.bias` is unused
            // there.
            add(tied_ ? "cls.predictions.bias" : "cls.predictions.decoder.bias", {config.vocab_size});
        }
    }
    if (head_ == Head::next_sentence || head_ == Head::pretraining) dense("cls.seq_relationship", 2);
    if (head_ == Head::sequence_classification || head_ == Head::token_classification)
        dense("classifier", config.num_labels());
    if (head_ == Head::question_answering) dense("qa_outputs", 2);
    if (head_ == Head::multiple_choice) dense("classifier", 1);
}

uint64_t ParameterTable::elements() const {
    uint64_t sum = 0;
    for (const Parameter& row : rows_) sum += row.elements();
    return sum;
}

bool ParameterTable::contains(std::string_view name) const {
    return by_name_.contains(std::string(without_prefix(name)));
}

size_t ParameterTable::index(std::string_view name) const {
    const auto found = by_name_.find(std::string(without_prefix(name)));
    if (found == by_name_.end())
        fail(ErrorCode::invalid_argument, "a model with head {} has no parameter '{}'", name_of(head_), name);
    return found->second;
}

Head detect_head(const Config& config, const Checkpoint& checkpoint) {
    for (const std::string& architecture : config.architectures) {
        if (architecture == "BertLMHeadModel") return Head::masked_lm;
        for (const HeadNames& names : head_names)
            if (names.architecture == architecture) return names.head;
    }
    const bool words = checkpoint.find("cls.predictions.transform.dense.weight") != nullptr;
    const bool sentences = checkpoint.find("cls.seq_relationship.weight") != nullptr;
    if (words || sentences)
        return !sentences ? Head::masked_lm : words ? Head::pretraining : Head::next_sentence;
    if (checkpoint.find("qa_outputs.weight")) return Head::question_answering;
    if (checkpoint.find("classifier.weight"))
        return has_pooler(checkpoint) ? Head::sequence_classification : Head::token_classification;
    return Head::none;
}

bool has_pooler(const Checkpoint& checkpoint) {
    return checkpoint.find("bert.pooler.dense.weight") || checkpoint.find("pooler.dense.weight");
}

ParameterSources match_parameters(const ParameterTable& table, const Checkpoint& checkpoint,
                                  MissingHead missing_head) {
    ParameterSources sources;
    std::unordered_set<std::string_view> used;
    std::vector<std::string> missing;
    for (const Parameter& row : table.rows()) {
        const StoredTensor* tensor = nullptr;
        for (const std::string& name : possible_names(row.name, table.tied()))
            if ((tensor = checkpoint.find(name))) break;
        sources.tensors.push_back(tensor);
        if (!tensor) {
            if (missing_head == MissingHead::error || of_encoder(row.name)) missing.push_back(row.name);
            continue;
        }
        used.insert(tensor->name);
        if (tensor->shape != row.shape)
            fail(ErrorCode::invalid_input, "{}: tensor '{}' has shape {}, but config.json asks for {}{}",
                 checkpoint.file_of(*tensor), tensor->name, shape_text(tensor->shape), shape_text(row.shape),
                 shape_hint(row.name));
        if (!floating(tensor->type))
            fail(ErrorCode::invalid_input, "{}: tensor '{}' is {}, not floating-point",
                 checkpoint.file_of(*tensor), tensor->name, name_of(tensor->type));
    }
    if (!missing.empty()) fail_missing(checkpoint, missing);
    for (const StoredTensor& tensor : checkpoint.tensors())
        if (!used.contains(tensor.name) && !redundant(tensor.name)) sources.unused.push_back(tensor.name);
    return sources;
}

}  // namespace vkbert
