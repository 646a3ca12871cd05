#include "bert/tokenizer/normalized_text.hpp"

#include <algorithm>

#include "bert/tokenizer/unicode_tables.hpp"
#include "bert/tokenizer/utf8.hpp"

namespace vkbert {
namespace {

struct Character {
    uint32_t code_point;
    uint32_t source;
};

void append(NormalizedText& out, const char* bytes, size_t length, uint32_t source) {
    out.bytes.append(bytes, length);
    out.sources.insert(out.sources.end(), length, source);
}

void append(NormalizedText& out, uint32_t code_point, uint32_t source) {
    char bytes[4];
    append(out, bytes, utf8::encode(code_point, bytes), source);
}

std::vector<Character> clean(std::string_view text, const NormalizerOptions& options) {
    std::vector<Character> result;
    uint32_t source = 0;
    for (const char *at = text.data(), *end = at + text.size(); at < end; ++source) {
        uint32_t c = utf8::decode(at);
        if (options.clean_text) {
            if (unicode::contains(unicode::removed_by_clean_text, c)) continue;
            if (unicode::contains(unicode::white_space, c)) c = ' ';
        }
        const bool alone = options.handle_chinese_chars && unicode::contains(unicode::chinese, c);
        if (alone) result.push_back({' ', source});
        result.push_back({c, source});
        if (alone) result.push_back({' ', source});
    }
    return result;
}

/// Canonical decomposition in canonical order. The reference aligns the n-th first part of a decomposition
/// with the n-th original character, wherever reordering has put it, and every further part with the original
/// before.
std::vector<Character> decompose(const std::vector<Character>& text) {
    struct Part {
        uint32_t code_point, combining_class;
        bool first;
    };
    std::vector<Part> parts;
    parts.reserve(text.size() + 16);
    size_t pending = 0;  // parts from here on follow the last one of class 0, itself included
    const auto order = [&] {
        std::stable_sort(parts.begin() + static_cast<ptrdiff_t>(pending), parts.end(),
                         [](const Part& a, const Part& b) { return a.combining_class < b.combining_class; });
        pending = parts.size();
    };
    for (const Character& character : text) {
        uint32_t decomposed[4];
        const int count = unicode::decompose(character.code_point, decomposed);
        for (int i = 0; i < count; ++i) {
            const uint32_t combining_class = unicode::combining_class(decomposed[i]);
            if (combining_class == 0) order();
            parts.push_back({decomposed[i], combining_class, i == 0});
        }
    }
    order();
    std::vector<Character> result;
    result.reserve(parts.size());
    size_t next = 0;
    for (const Part& part : parts) {
        if (part.first) ++next;
        result.push_back({part.code_point, next == 0 ? 0 : text[next - 1].source});
    }
    return result;
}

/// normalize() from the table; false where the table says that the context decides.
bool normalize_by_table(std::string_view text, const CharacterTable& table, NormalizedText& out) {
    uint32_t source = 0;
    for (const char *at = text.data(), *end = at + text.size(); at < end; ++source) {
        const char* begin = at;
        const uint32_t c = utf8::decode(at);
        const uint16_t action = table.action(c);
        switch (action) {
            case CharacterTable::isolate:
                if (table.options().handle_chinese_chars && unicode::contains(unicode::chinese, c)) {
                    append(out, ' ', source);
                    append(out, begin, static_cast<size_t>(at - begin), source);
                    append(out, ' ', source);
                    break;
                }
                [[fallthrough]];
            case CharacterTable::keep:
                append(out, begin, static_cast<size_t>(at - begin), source);
                break;
            case CharacterTable::drop:
                break;
            case CharacterTable::space:
                append(out, table.options().clean_text ? ' ' : c, source);
                break;
            case CharacterTable::reorder:
                return false;
            case CharacterTable::hangul: {
                uint32_t jamo[3];
                const int count = unicode::decompose_hangul(c, jamo);
                for (int i = 0; i < count; ++i) append(out, jamo[i], source);
                break;
            }
            default:
                for (const auto& o : table.replacement(action)) append(out, o.bytes.data(), o.length, source);
        }
    }
    return true;
}

}  // namespace

void normalize_exactly(std::string_view text, const NormalizerOptions& options, NormalizedText& out) {
    out.bytes.clear();
    out.sources.clear();
    std::vector<Character> characters = clean(text, options);
    if (options.strip_accents) {
        characters = decompose(characters);
        std::erase_if(characters, [](const Character& character) {
            return unicode::contains(unicode::nonspacing_marks, character.code_point);
        });
    }
    for (const Character& character : characters) {
        uint32_t lowered[2] = {character.code_point, 0};
        const int count = options.lowercase ? unicode::lower(character.code_point, lowered) : 1;
        for (int i = 0; i < count; ++i) append(out, lowered[i], character.source);
    }
}

void normalize(std::string_view text, const CharacterTable& table, NormalizedText& out) {
    out.bytes.clear();
    out.sources.clear();
    if (!normalize_by_table(text, table, out)) normalize_exactly(text, table.options(), out);
}

}  // namespace vkbert
