#include "bert/sentence_pooling.hpp"

#include "bert/json_text.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {

namespace fs = std::filesystem;

static ops::Pooling pooling_named(const std::string& name, const fs::path& file) {
    if (name == "mean") return ops::Pooling::mean;
    if (name == "max") return ops::Pooling::max;
    if (name == "cls") return ops::Pooling::first;
    fail(ErrorCode::unsupported, "{}: pooling '{}' is not supported; mean, max and cls are", file.string(),
         name);
}

/// The one true flag among pooling_mode_*, or the newer pooling_mode's text.
static ops::Pooling read_pooling(const fs::path& file) {
    const nlohmann::json config = read_json_object(file);
    if (const auto mode = config.find("pooling_mode"); mode != config.end() && mode->is_string())
        return pooling_named(mode->get<std::string>(), file);
    std::string found;
    for (const auto& [key, value] : config.items()) {
        constexpr std::string_view prefix = "pooling_mode_";
        if (key.rfind(prefix, 0) != 0 || !value.is_boolean() || !value.get<bool>()) continue;
        const std::string name = key.substr(prefix.size(), key.rfind("_token") - prefix.size());
        found += found.empty() ? name : "+" + name;
    }
    return pooling_named(found, file);
}

std::optional<uint32_t> read_sentence_max_length(const fs::path& folder) {
    const fs::path file = folder / "sentence_bert_config.json";
    if (!fs::exists(file)) return std::nullopt;
    const nlohmann::json config = read_json_object(file);
    const auto length = config.find("max_seq_length");
    if (length == config.end() || length->is_null()) return std::nullopt;
    if (!length->is_number_unsigned() || length->get<uint64_t>() < 2 || length->get<uint64_t>() > 1u << 20)
        fail(ErrorCode::invalid_input, "{}: max_seq_length is no sensible number of tokens", file.string());
    return length->get<uint32_t>();
}

static const std::string& text_field(const nlohmann::json& module, const char* name, const fs::path& file) {
    if (!module.is_object() || !module.contains(name) || !module[name].is_string())
        fail(ErrorCode::invalid_input, "{}: a module has no \"{}\"", file.string(), name);
    return module[name].get_ref<const std::string&>();
}

SentencePooling read_sentence_pooling(const fs::path& folder) {
    SentencePooling result;
    result.max_length = read_sentence_max_length(folder);
    const fs::path file = folder / "modules.json";
    if (!fs::exists(file)) return result;
    const nlohmann::json modules = parse_json(read_text_file(file, 1 << 20), file.string());
    if (!modules.is_array()) fail(ErrorCode::invalid_input, "{}: is no list of modules", file.string());
    for (const auto& module : modules) {
        const std::string& type = text_field(module, "type", file);
        const std::string kind = type.substr(type.rfind('.') + 1);
        if (kind == "Pooling")
            result.pooling = read_pooling(folder / text_field(module, "path", file) / "config.json");
        else if (kind == "Normalize")
            result.normalize = true;
        else if (kind != "Transformer")
            fail(ErrorCode::unsupported,
                 "{}: module {} is not supported; give --pooling to leave modules out", file.string(), type);
    }
    return result;
}

}  // namespace vkbert
