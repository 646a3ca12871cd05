#include "bert/sentence_transformers.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "bert/json_text.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {

namespace fs = std::filesystem;

namespace {

using nlohmann::json;

// Value of a field, or `fallback` where it is absent or null.
bool boolean(const json& object, const char* field, bool fallback, const fs::path& file) {
    const auto found = object.find(field);
    if (found == object.end() || found->is_null()) return fallback;
    if (!found->is_boolean())
        fail(ErrorCode::invalid_input, "{}: {} is not true or false", file.string(), field);
    return found->get<bool>();
}
std::optional<uint32_t> positive(const json& object, const char* field, const fs::path& file) {
    const auto found = object.find(field);
    if (found == object.end() || found->is_null()) return std::nullopt;
    const bool fits =
        found->is_number_unsigned() && found->get<uint64_t>() > 0 && found->get<uint64_t>() <= (1u << 20);
    if (!fits)
        fail(ErrorCode::invalid_input, "{}: {} is not an integer from 1 to {}", file.string(), field,
             1u << 20);
    return found->get<uint32_t>();
}
std::string text(const json& object, const char* field, const fs::path& file) {
    const auto found = object.find(field);
    if (found == object.end() || !found->is_string())
        fail(ErrorCode::invalid_input, "{}: a module has no {}", file.string(), field);
    return found->get<std::string>();
}

ops::Pooling pooling_of(const std::string& mode, const fs::path& file) {
    if (mode == "cls") return ops::Pooling::first;
    if (mode == "max") return ops::Pooling::max;
    if (mode == "mean") return ops::Pooling::mean;
    fail(ErrorCode::unsupported, "{}: pooling mode {} is not supported", file.string(), json(mode).dump());
}

// One flag a mode, in the order in which their results are concatenated.
std::vector<ops::Pooling> pooling_of_flags(const json& config, const fs::path& file) {
    constexpr std::array<std::pair<const char*, const char*>, 6> flags{{
        {"pooling_mode_cls_token", "cls"},
        {"pooling_mode_max_tokens", "max"},
        {"pooling_mode_mean_tokens", "mean"},
        {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
        {"pooling_mode_weightedmean_tokens", "weightedmean"},
        {"pooling_mode_lasttoken", "lasttoken"},
    }};
    std::vector<ops::Pooling> pooling;
    for (const auto& [flag, mode] : flags)
        if (boolean(config, flag, false, file)) pooling.push_back(pooling_of(mode, file));
    if (pooling.empty()) pooling.push_back(ops::Pooling::mean);
    return pooling;
}

void read_pooling(const fs::path& file, SentenceTransformer& result) {
    const json config = read_json_object(file);
    const auto mode = config.find("pooling_mode");
    if (mode == config.end()) {
        result.pooling = pooling_of_flags(config, file);
    } else {
        const json modes = mode->is_array() ? *mode : json::array({*mode});
        for (const json& one : modes) {
            if (!one.is_string())
                fail(ErrorCode::invalid_input, "{}: pooling_mode is not text", file.string());
            result.pooling.push_back(pooling_of(one.get<std::string>(), file));
        }
        if (result.pooling.empty())
            fail(ErrorCode::invalid_input, "{}: pooling_mode is empty", file.string());
    }
    for (const char* field : {"word_embedding_dimension", "embedding_dimension"})
        if (const auto dimension = positive(config, field, file)) result.dimension = *dimension;
}

void read_sentence_config(const fs::path& folder, SentenceTransformer& result) {
    const fs::path file = folder / "sentence_bert_config.json";
    std::error_code error;
    if (!fs::exists(file, error)) return;
    const json config = read_json_object(file);
    result.max_seq_length = positive(config, "max_seq_length", file);
    result.do_lower_case = boolean(config, "do_lower_case", false, file);
}

// A folder inside the model's: nothing in a downloaded file may point anywhere else.
fs::path module_folder(const fs::path& folder, const std::string& path, const fs::path& file) {
    const fs::path relative(path);
    const bool inside =
        relative.is_relative() &&
        std::none_of(relative.begin(), relative.end(), [](const fs::path& part) { return part == ".."; });
    if (!inside || std::any_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20; }))
        fail(ErrorCode::invalid_input, "{}: module path {} leaves the folder", file.string(),
             json(path).dump());
    return path.empty() ? folder : folder / relative;
}

}  // namespace

std::optional<SentenceTransformer> read_sentence_transformer(const fs::path& folder) {
    const fs::path file = folder / "modules.json";
    std::error_code error;
    if (!fs::exists(fs::symlink_status(file, error))) return std::nullopt;
    const json modules = parse_json(read_text_file(file, uint64_t(1) << 20), file.string());
    if (!modules.is_array() || modules.empty())
        fail(ErrorCode::invalid_input, "{}: not a list of modules", file.string());
    SentenceTransformer result;
    for (size_t i = 0; i < modules.size(); ++i) {
        if (!modules[i].is_object())
            fail(ErrorCode::invalid_input, "{}: not a list of modules", file.string());
        const std::string type = text(modules[i], "type", file);
        const std::string name = type.substr(type.rfind('.') + 1);
        const fs::path path = module_folder(folder, text(modules[i], "path", file), file);
        if (i == 0 && name == "Transformer") {
            result.model = path;
            read_sentence_config(path, result);
        } else if (i == 1 && name == "Pooling") {
            read_pooling(path / "config.json", result);
        } else if (i == 2 && name == "Normalize") {
            result.normalize = true;
        } else {
            fail(ErrorCode::unsupported,
                 "{}: module {} of type {} is not supported there: only Transformer, Pooling, Normalize are",
                 file.string(), i, json(type).dump());
        }
    }
    if (result.pooling.empty()) fail(ErrorCode::unsupported, "{}: has no Pooling module", file.string());
    return result;
}

}  // namespace vkbert
