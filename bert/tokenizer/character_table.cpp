#include "bert/tokenizer/character_table.hpp"

#include <algorithm>

#include "bert/tokenizer/unicode_tables.hpp"
#include "bert/tokenizer/utf8.hpp"

namespace vkbert {
namespace {

constexpr uint32_t code_points = 0x110000, block_size = 256;

enum Property : uint16_t {
    removed = 1,         // by clean_text
    white = 2,           // white space
    punctuation = 4,     // punctuation
    chinese = 8,         // a word of its own under handle_chinese_chars
    nonspacing = 16,     // removed by strip_accents
    combining = 32,      // its combining class is not 0
    has_lower_case = 64  // lower case differs from itself
};

CodePointMap make_properties() {
    CodePointMap map;
    const auto add = [&map](std::span<const unicode::CodePointRange> ranges, Property property) {
        for (const auto& range : ranges) map.add(range.first, range.last, property);
    };
    add(unicode::removed_by_clean_text, removed);
    add(unicode::white_space, white);
    add(unicode::punctuation, punctuation);
    add(unicode::chinese, chinese);
    add(unicode::nonspacing_marks, nonspacing);
    for (const auto& run : unicode::combining_classes) map.add(run.first, run.last, combining);
    for (const auto& run : unicode::lower_case) {
        for (uint32_t c = run.first; c <= run.last; c += run.stride) map.add(c, c, has_lower_case);
    }
    map.add(0x130, 0x130, has_lower_case);
    return map;
}

}  // namespace

bool is_white_space(uint32_t code_point) {
    return unicode::contains(unicode::white_space, code_point);
}

bool is_word_character(uint32_t code_point) {
    return unicode::contains(unicode::word_characters, code_point);
}

CharacterKind normalized_kind(uint32_t code_point) {
    if (is_white_space(code_point)) return CharacterKind::space;
    return unicode::contains(unicode::punctuation, code_point) ? CharacterKind::isolated
                                                               : CharacterKind::letter;
}

CodePointMap::CodePointMap() : index_(code_points / block_size), entries_(block_size), shared_{true} {}

uint16_t* CodePointMap::writable(uint32_t block) {
    uint16_t number = index_[block];
    if (shared_[number]) {
        const size_t from = static_cast<size_t>(number) * block_size;
        number = static_cast<uint16_t>(shared_.size());
        entries_.resize(entries_.size() + block_size);
        std::copy_n(entries_.begin() + from, block_size, entries_.end() - block_size);
        shared_.push_back(false);
        index_[block] = number;
    }
    return entries_.data() + static_cast<size_t>(number) * block_size;
}

void CodePointMap::set(uint32_t code_point, uint16_t value) {
    if ((*this)[code_point] != value) writable(code_point / block_size)[code_point % block_size] = value;
}

void CodePointMap::add(uint32_t first, uint32_t last, uint16_t bits) {
    uint16_t from = 0, to = 0;  // consecutive whole blocks that were the same one stay the same one
    for (uint32_t c = first; c <= last;) {
        const uint32_t block = c / block_size, end = std::min(last + 1, (block + 1) * block_size);
        const bool whole = end - c == block_size;
        if (whole && to != 0 && index_[block] == from) {
            index_[block] = to;
        } else {
            from = index_[block];
            uint16_t* entries = writable(block);
            for (uint32_t i = c; i < end; ++i) entries[i % block_size] |= bits;
            to = whole && shared_[from] ? index_[block] : uint16_t{0};
            if (to != 0) shared_[to] = true;
        }
        c = end;
    }
}

uint16_t CharacterTable::simple_action(uint16_t properties) const {
    if (options_.clean_text && properties & removed) return drop;
    if (properties & white) return space;
    if (options_.strip_accents && properties & nonspacing) return drop;
    if (options_.strip_accents && properties & combining) return reorder;
    if (options_.handle_chinese_chars && properties & chinese) return isolate;
    return properties & punctuation ? isolate : keep;
}

void CharacterTable::append(uint32_t code_point, CharacterKind kind) {
    Output output{code_point, {}, 0, kind};
    output.length = static_cast<uint8_t>(utf8::encode(code_point, output.bytes.data()));
    outputs_.push_back(output);
}

uint16_t CharacterTable::resolve(uint32_t code_point, std::span<const uint32_t> decomposed,
                                 const CodePointMap& properties) {
    const uint16_t own = properties[code_point];
    if ((options_.clean_text && own & removed) || own & white) return simple_action(own);
    const bool surrounded = options_.handle_chinese_chars && own & chinese;
    const uint32_t first = static_cast<uint32_t>(outputs_.size());
    if (surrounded) append(' ', CharacterKind::space);
    for (const uint32_t part : decomposed) {
        if (options_.strip_accents && properties[part] & nonspacing) continue;
        if (options_.strip_accents && properties[part] & combining) {
            outputs_.resize(first);
            return reorder;
        }
        uint32_t lowered[2] = {part, 0};
        const int count =
            options_.lowercase && properties[part] & has_lower_case ? unicode::lower(part, lowered) : 1;
        for (int i = 0; i < count; ++i) {
            const uint16_t p = properties[lowered[i]];
            append(lowered[i], p & white         ? CharacterKind::space
                               : p & punctuation ? CharacterKind::isolated
                                                 : CharacterKind::letter);
        }
    }
    if (surrounded) append(' ', CharacterKind::space);
    const uint32_t count = static_cast<uint32_t>(outputs_.size()) - first;
    if (count == 0) return drop;
    if (count == 1 && outputs_.back().code_point == code_point) {
        outputs_.resize(first);
        return simple_action(own);
    }
    replacements_.push_back({first, count});
    return static_cast<uint16_t>(replaced + replacements_.size() - 1);
}

CharacterTable::CharacterTable(const NormalizerOptions& options) : options_(options) {
    const CodePointMap properties = make_properties();
    actions_ = properties;
    actions_.transform([this](uint16_t value) { return simple_action(value); });
    outputs_.reserve(8192);
    replacements_.reserve(4096);
    if (options_.lowercase) {
        for (const auto& run : unicode::lower_case) {
            for (uint32_t c = run.first; c <= run.last; c += run.stride)
                actions_.set(c, resolve(c, {&c, 1}, properties));
        }
        const uint32_t capital_i_with_dot = 0x130;
        actions_.set(capital_i_with_dot, resolve(capital_i_with_dot, {&capital_i_with_dot, 1}, properties));
    }
    if (options_.strip_accents) {
        for (size_t i = 0; i < unicode::decompositions.size();) {
            const uint32_t header = unicode::decompositions[i], length = header >> 24;
            const uint32_t code_point = header & 0xFFFFFF;
            actions_.set(code_point,
                         resolve(code_point, unicode::decompositions.subspan(i + 1, length), properties));
            i += length + 1;
        }
        for (uint32_t c = unicode::hangul_first; c <= unicode::hangul_last; ++c) actions_.set(c, hangul);
    }
}

}  // namespace vkbert
