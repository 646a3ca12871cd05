#include "bert/json_text.hpp"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert {

namespace {

constexpr int max_depth = 64;

// "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ...": only what follows the
// tag, with control characters (the parser quotes the text it met) made harmless for one-line messages.
std::string plain_reason(const char* what) {
    std::string text = what;
    if (const size_t end = text.find("] "); end != std::string::npos) text.erase(0, end + 2);
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
    if (text.size() > 300) {
        text.resize(300);
        text += "...";
    }
    return text;
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view name) {
    using nlohmann::json;
    std::vector<std::unordered_set<std::string>> keys;
    const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth > max_depth)
            fail(ErrorCode::invalid_input, "{}: nested deeper than {} levels", name, max_depth);
        if (event == json::parse_event_t::object_start) keys.emplace_back();
        if (event == json::parse_event_t::object_end) keys.pop_back();
        if (event == json::parse_event_t::key &&
            !keys.back().insert(parsed.get_ref<const std::string&>()).second)
            fail(ErrorCode::invalid_input, "{}: key {} is given twice", name, parsed.dump());
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), check);
    } catch (const json::exception& error) {
        fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", name, plain_reason(error.what()));
    }
}

nlohmann::json read_json_object(const std::filesystem::path& path, uint64_t limit) {
    nlohmann::json value = parse_json(read_text_file(path, limit), path.string());
    if (!value.is_object()) fail(ErrorCode::invalid_input, "{}: not a JSON object", path.string());
    return value;
}

}  // namespace vkbert
