#include "bert/tokenizer/utf8.hpp"

#include <algorithm>

namespace vkbert::utf8 {
namespace {

/// Length of the well-formed sequence at the start of [at, end), or 0. The second byte's bounds exclude
/// overlong forms, surrogates and values above U+10FFFF (Unicode standard, table 3-7).
size_t well_formed(const unsigned char* at, const unsigned char* end) {
    const unsigned char lead = at[0];
    const size_t bytes = lead < 0x80   ? 1
                         : lead < 0xC2 ? 0
                         : lead < 0xE0 ? 2
                         : lead < 0xF0 ? 3
                         : lead < 0xF5 ? 4
                                       : 0;
    if (bytes < 2) return bytes;
    if (static_cast<size_t>(end - at) < bytes) return 0;
    const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < bytes; ++i) {
        if ((at[i] & 0xC0) != 0x80) return 0;
    }
    return bytes;
}

}  // namespace

std::optional<size_t> find_invalid(std::string_view text) {
    const auto* begin = reinterpret_cast<const unsigned char*>(text.data());
    const unsigned char* end = begin + text.size();
    const unsigned char* at = begin;
    while (at < end) {
        uint64_t eight;
        while (end - at >= 8 && (std::memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) at += 8;
        if (at == end) break;
        const size_t bytes = well_formed(at, end);
        if (bytes == 0) return static_cast<size_t>(at - begin);
        at += bytes;
    }
    return std::nullopt;
}

std::string_view slice(std::string_view text, size_t begin, size_t end) {
    const char *at = text.data(), *const last = at + text.size();
    const auto step = [&](size_t count) {
        for (; count > 0 && at < last; --count) at += length(static_cast<unsigned char>(*at));
        return at;
    };
    const char* const first = step(begin);
    return {first, static_cast<size_t>(step(end > begin ? end - begin : 0) - first)};
}

std::string printable(std::string_view text) {
    constexpr size_t most = 60;
    const char *at = text.data(), *end = at + text.size();
    while (at < end && static_cast<size_t>(at - text.data()) < most)
        at += std::min<ptrdiff_t>(end - at, ptrdiff_t(length(static_cast<unsigned char>(*at))));
    std::string result(text.data(), at);
    for (char& c : result) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    }
    return at < end ? result + "..." : result;
}

}  // namespace vkbert::utf8
