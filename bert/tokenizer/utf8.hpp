// UTF-8 as the tokenizer needs it: strict validation, then decoding that may trust its input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace vkbert::utf8 {

/// Byte offset of the first ill-formed sequence (overlong forms, surrogates and values above U+10FFFF
/// included), or nothing if the text is well formed.
std::optional<size_t> find_invalid(std::string_view text);

/// Bytes of the sequence that starts with `lead`.
inline size_t length(unsigned char lead) {
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/// Decodes the code point at `at` and steps behind it. The text must be valid.
inline uint32_t decode(const char*& at) {
    const auto byte = [&](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(at[i])); };
    const uint32_t lead = byte(0);
    if (lead < 0x80) {
        at += 1;
        return lead;
    }
    if (lead < 0xE0) {
        const uint32_t value = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
        at += 2;
        return value;
    }
    if (lead < 0xF0) {
        const uint32_t value = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
        at += 3;
        return value;
    }
    const uint32_t value =
        (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    at += 4;
    return value;
}

/// Writes the code point to `out` (room for 4 bytes) and returns how many bytes it took.
inline size_t encode(uint32_t code_point, char* out) {
    if (code_point < 0x80) {
        out[0] = static_cast<char>(code_point);
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = static_cast<char>(0xC0 | code_point >> 6);
        out[1] = static_cast<char>(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = static_cast<char>(0xE0 | code_point >> 12);
        out[1] = static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
        out[2] = static_cast<char>(0x80 | (code_point & 0x3F));
        return 3;
    }
    out[0] = static_cast<char>(0xF0 | code_point >> 18);
    out[1] = static_cast<char>(0x80 | (code_point >> 12 & 0x3F));
    out[2] = static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
    out[3] = static_cast<char>(0x80 | (code_point & 0x3F));
    return 4;
}

/// Code points in valid text.
inline size_t count(std::string_view text) {
    size_t result = 0;
    for (const char c : text) result += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return result;
}

/// Code points [begin, end) of valid text; what of them there is.
std::string_view slice(std::string_view text, size_t begin, size_t end);

/// Text for a one-line message: cut short, control characters as '?'.
std::string printable(std::string_view text);

/// First byte of the code point before `at`; `at` must not be the beginning of the valid text.
inline const char* previous(const char* at) {
    do {
        --at;
    } while ((static_cast<unsigned char>(*at) & 0xC0) == 0x80);
    return at;
}

}  // namespace vkbert::utf8
