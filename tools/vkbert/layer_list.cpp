#include "tools/vkbert/layer_list.hpp"

#include <charconv>

#include "runtime/error.hpp"

namespace vkbert::tools {

/// An index from the start; `missing` when the text is empty (an open end of a range).
static int index_of(const std::string& text, int states, int missing, const std::string& whole) {
    if (text.empty()) return missing;
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
        fail(ErrorCode::invalid_argument, "--layers: '{}' is not like -1, 0,6,12 or -4:", whole);
    const int index = value < 0 ? value + states : value;
    if (index < 0 || index > states)
        fail(ErrorCode::invalid_argument, "--layers: there is no {}; the model has hidden states 0 to {}",
             value, states - 1);
    return index;
}

std::vector<int> parse_layers(const std::string& text, uint32_t layers) {
    const int states = static_cast<int>(layers) + 1;
    std::vector<int> result;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        const std::string part = text.substr(begin, end - begin);
        const size_t colon = part.find(':');
        const int first =
            index_of(part.substr(0, colon), states, colon == std::string::npos ? states : 0, text);
        const int last =
            colon == std::string::npos ? first + 1 : index_of(part.substr(colon + 1), states, states, text);
        if (first >= last || last > states)
            fail(ErrorCode::invalid_argument, "--layers: '{}' names no hidden state; the model has 0 to {}",
                 text, states - 1);
        for (int layer = first; layer < last; ++layer) result.push_back(layer);
        begin = end + 1;
    }
    return result;
}

}  // namespace vkbert::tools
