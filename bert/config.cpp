#include "bert/config.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "bert/json_text.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {

namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, ops::Activation>, 11> activations{{
    {"gelu", ops::Activation::gelu},
    {"gelu_python", ops::Activation::gelu},
    {"gelu_new", ops::Activation::gelu_tanh},
    {"gelu_fast", ops::Activation::gelu_tanh},
    {"gelu_accurate", ops::Activation::gelu_tanh},
    {"gelu_pytorch_tanh", ops::Activation::gelu_tanh},
    {"gelu_python_tanh", ops::Activation::gelu_tanh},
    {"relu", ops::Activation::relu},
    {"silu", ops::Activation::silu},
    {"swish", ops::Activation::silu},
    {"tanh", ops::Activation::tanh},
}};

const ops::Activation* find_activation(std::string_view name) {
    for (const auto& [known, activation] : activations)
        if (known == name) return &activation;
    return nullptr;
}

// The fields of one config.json, each with its checks; every message names the file and the field.
class Fields {
  public:
    Fields(const json& object, std::string_view file) : object_(object), file_(file) {}

    // nullptr for an absent or null field.
    const json* find(const char* field) const {
        const auto found = object_.find(field);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }
    bool is_null(const char* field) const {
        const auto found = object_.find(field);
        return found != object_.end() && found->is_null();
    }
    [[noreturn]] void refuse(ErrorCode code, const char* field, std::string_view what) const {
        std::string text = object_[field].dump(-1, ' ', true);
        if (text.size() > 60) text = text.substr(0, 60) + "...";
        fail(code, "{}: {} is {}: {}", file_, field, text, what);
    }
    [[noreturn]] void bad(const char* field, std::string_view what) const {
        refuse(ErrorCode::invalid_input, field, what);
    }

    void read(const char* field, uint32_t& value, uint32_t least, uint32_t most) const {
        const json* given = find(field);
        if (!given) return;
        const bool fits =
            given->is_number_unsigned() && given->get<uint64_t>() >= least && given->get<uint64_t>() <= most;
        if (!fits) bad(field, fmt::format("it must be an integer from {} to {}", least, most));
        value = given->get<uint32_t>();
    }
    // Numbers in [least, most), or (0, most) where `positive`.
    void read(const char* field, float& value, float most, bool positive = false) const {
        const json* given = find(field);
        if (!given) return;
        const double number = given->is_number() ? given->get<double>() : -1;
        if (!(number >= 0) || !(number < double(most)) || (positive && float(number) == 0))
            bad(field, fmt::format("it must be a number {} 0 and below {}",
                                   positive ? "above" : "of at least", most));
        value = float(number);
    }
    void read(const char* field, bool& value) const {
        const json* given = find(field);
        if (!given) return;
        if (!given->is_boolean()) bad(field, "it must be true or false");
        value = given->get<bool>();
    }
    void read(const char* field, std::string& value) const {
        const json* given = find(field);
        if (!given) return;
        if (!given->is_string()) bad(field, "it must be a string");
        value = given->get<std::string>();
    }

  private:
    const json& object_;
    std::string_view file_;
};

void read_sizes(const Fields& fields, Config& config) {
    fields.read("hidden_size", config.hidden_size, 1, 1u << 16);
    fields.read("num_hidden_layers", config.num_hidden_layers, 1, 1024);
    fields.read("num_attention_heads", config.num_attention_heads, 1, 1u << 12);
    fields.read("intermediate_size", config.intermediate_size, 1, 1u << 18);
    fields.read("vocab_size", config.vocab_size, 1, 1u << 24);
    fields.read("max_position_embeddings", config.max_position_embeddings, 1, 1u << 20);
    fields.read("type_vocab_size", config.type_vocab_size, 1, 1u << 16);
    if (config.hidden_size % config.num_attention_heads != 0)
        fields.bad("hidden_size",
                   fmt::format("not a multiple of num_attention_heads {}", config.num_attention_heads));
    if (config.hidden_size % 4 != 0)
        fields.refuse(ErrorCode::unsupported, "hidden_size", "only multiples of 4 are supported");
    if (config.intermediate_size % 4 != 0)
        fields.refuse(ErrorCode::unsupported, "intermediate_size", "only multiples of 4 are supported");
}

void read_numbers(const Fields& fields, Config& config) {
    fields.read("layer_norm_eps", config.layer_norm_eps, 1, true);
    fields.read("hidden_dropout_prob", config.hidden_dropout_prob, 1);
    fields.read("attention_probs_dropout_prob", config.attention_probs_dropout_prob, 1);
    fields.read("initializer_range", config.initializer_range, 100, true);
    if (fields.find("classifier_dropout")) {
        config.classifier_dropout.emplace();
        fields.read("classifier_dropout", *config.classifier_dropout, 1);
    }
    if (fields.is_null("pad_token_id")) config.pad_token_id.reset();
    if (const json* pad = fields.find("pad_token_id")) {
        if (!pad->is_number_unsigned() || pad->get<uint64_t>() >= config.vocab_size)
            fields.bad("pad_token_id",
                       fmt::format("it must be an id below vocab_size {}", config.vocab_size));
        config.pad_token_id = pad->get<uint32_t>();
    }
    fields.read("is_decoder", config.is_decoder);
}

void read_kind(const Fields& fields, Config& config) {
    std::string model_type = "bert", position_type = "absolute";
    fields.read("model_type", model_type);
    if (model_type != "bert") fields.refuse(ErrorCode::unsupported, "model_type", "only bert is supported");
    fields.read("position_embedding_type", position_type);
    if (position_type != "absolute")
        fields.refuse(ErrorCode::unsupported, "position_embedding_type", "only absolute is supported");
    fields.read("hidden_act", config.hidden_act);
    if (!find_activation(config.hidden_act))
        fields.refuse(ErrorCode::unsupported, "hidden_act",
                      "only the gelu forms, relu, silu and tanh are supported");
    bool cross_attention = false;
    fields.read("add_cross_attention", cross_attention);
    if (cross_attention) fields.refuse(ErrorCode::unsupported, "add_cross_attention", "not supported");
    fields.read("tie_word_embeddings", config.tie_word_embeddings);
    fields.read("problem_type", config.problem_type);
    if (!config.problem_type.empty() && config.problem_type != "regression" &&
        config.problem_type != "single_label_classification" &&
        config.problem_type != "multi_label_classification")
        fields.bad("problem_type", "unknown");
    if (const json* architectures = fields.find("architectures")) {
        if (!architectures->is_array()) fields.bad("architectures", "it must be a list of strings");
        for (const json& architecture : *architectures) {
            if (!architecture.is_string()) fields.bad("architectures", "it must be a list of strings");
            config.architectures.push_back(architecture.get<std::string>());
        }
    }
}

void read_labels(const Fields& fields, Config& config) {
    constexpr uint32_t most = 1u << 20;
    uint32_t count = 2;
    fields.read("_num_labels", count, 1, most);
    fields.read("num_labels", count, 1, most);
    const json* names = fields.find("id2label");
    if (!names) {
        for (uint32_t i = 0; i < count; ++i) config.labels.push_back(fmt::format("LABEL_{}", i));
        return;
    }
    if (!names->is_object() || names->empty()) fields.bad("id2label", "it must be an object with entries");
    for (size_t i = 0; i < names->size(); ++i) {
        const auto label = names->find(std::to_string(i));
        if (label == names->end())
            fields.bad("id2label", fmt::format("id {} of {} has no label", i, names->size()));
        if (!label->is_string()) fields.bad("id2label", fmt::format("the label of id {} is not a string", i));
        config.labels.push_back(label->get<std::string>());
    }
}

}  // namespace

ops::Activation Config::activation() const {
    const ops::Activation* found = find_activation(hidden_act);
    if (!found) fail(ErrorCode::unsupported, "hidden_act '{}' is not supported", hidden_act);
    return *found;
}

Config parse_config(std::string_view text, std::string_view name) {
    const json object = parse_json(text, name);
    if (!object.is_object()) fail(ErrorCode::invalid_input, "{}: not a JSON object", name);
    const Fields fields(object, name);
    Config config;
    read_kind(fields, config);
    for (const char* field :
         {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"})
        if (!fields.find(field)) fail(ErrorCode::invalid_input, "{}: {} is missing", name, field);
    read_sizes(fields, config);
    read_numbers(fields, config);
    read_labels(fields, config);
    return config;
}

Config read_config(const std::filesystem::path& path) {
    std::error_code error;
    const std::filesystem::path file =
        std::filesystem::is_directory(path, error) ? path / "config.json" : path;
    return parse_config(read_text_file(file, uint64_t(64) << 20), file.string());
}

std::string config_json(const Config& config) {
    // Through text: a float's shortest decimal, not the digits of its value as a double.
    const auto number = [](float value) { return json::parse(fmt::format("{}", value)); };
    nlohmann::ordered_json object;
    if (!config.architectures.empty()) object["architectures"] = config.architectures;
    object["attention_probs_dropout_prob"] = number(config.attention_probs_dropout_prob);
    if (config.classifier_dropout) object["classifier_dropout"] = number(*config.classifier_dropout);
    object["hidden_act"] = config.hidden_act;
    object["hidden_dropout_prob"] = number(config.hidden_dropout_prob);
    object["hidden_size"] = config.hidden_size;
    nlohmann::ordered_json id2label, label2id;
    for (uint32_t i = 0; i < config.num_labels(); ++i) {
        id2label[std::to_string(i)] = config.labels[i];
        label2id[config.labels[i]] = i;
    }
    object["id2label"] = id2label;
    object["initializer_range"] = number(config.initializer_range);
    object["intermediate_size"] = config.intermediate_size;
    object["is_decoder"] = config.is_decoder;
    object["label2id"] = label2id;
    object["layer_norm_eps"] = number(config.layer_norm_eps);
    object["max_position_embeddings"] = config.max_position_embeddings;
    object["model_type"] = "bert";
    object["num_attention_heads"] = config.num_attention_heads;
    object["num_hidden_layers"] = config.num_hidden_layers;
    object["pad_token_id"] =
        config.pad_token_id ? nlohmann::ordered_json(*config.pad_token_id) : nlohmann::ordered_json();
    object["position_embedding_type"] = "absolute";
    if (!config.problem_type.empty()) object["problem_type"] = config.problem_type;
    object["tie_word_embeddings"] = config.tie_word_embeddings;
    object["type_vocab_size"] = config.type_vocab_size;
    object["vocab_size"] = config.vocab_size;
    return object.dump(2) + "\n";
}

Config config_of_shape(std::string_view shape) {
    std::string_view numbers = shape == "base"    ? "12,768,12,3072"
                               : shape == "large" ? "24,1024,16,4096"
                                                  : shape;
    if (shape == "tiny") numbers = "2,128,2,512";
    std::array<uint32_t, 4> values{};
    const char* at = numbers.data();
    const char* const end = at + numbers.size();
    for (size_t i = 0; i < 4; ++i) {
        const auto [rest, error] = std::from_chars(at, end, values[i]);
        const bool ends = i < 3 ? rest != end && *rest == ',' : rest == end;
        if (error != std::errc() || !ends)
            fail(ErrorCode::invalid_argument,
                 "shape '{}' is neither base, large, tiny nor four numbers L,H,A,F", shape);
        at = rest + 1;
    }
    const json object{{"num_hidden_layers", values[0]},
                      {"hidden_size", values[1]},
                      {"num_attention_heads", values[2]},
                      {"intermediate_size", values[3]},
                      {"vocab_size", 30522}};
    try {
        return parse_config(object.dump(), fmt::format("shape '{}'", shape));
    } catch (const Error& error) {
        throw Error(ErrorCode::invalid_argument, error.what());
    }
}

}  // namespace vkbert
