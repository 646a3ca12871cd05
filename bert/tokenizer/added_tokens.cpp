#include "bert/tokenizer/added_tokens.hpp"

#include <algorithm>
#include <cstring>

#include "bert/tokenizer/character_table.hpp"
#include "bert/tokenizer/utf8.hpp"

namespace vkbert {
namespace {

uint32_t character_before(std::string_view text, size_t at) {
    const char* previous = utf8::previous(text.data() + at);
    return utf8::decode(previous);
}

uint32_t character_at(std::string_view text, size_t at) {
    const char* next = text.data() + at;
    return utf8::decode(next);
}

/// Whether no character on either side of [begin, end) satisfies `touches`.
template <typename Predicate>
bool stands_alone(std::string_view text, size_t begin, size_t end, Predicate&& touches) {
    return (begin == 0 || !touches(character_before(text, begin))) &&
           (end == text.size() || !touches(character_at(text, end)));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::erase_if(entries_, [](const Entry& entry) { return entry.text.empty(); });
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return a.text < b.text; });
    entries_.erase(std::unique(entries_.begin(), entries_.end(),
                               [](const Entry& a, const Entry& b) { return a.text == b.text; }),
                   entries_.end());
    for (const Entry& entry : entries_) starts_[static_cast<unsigned char>(entry.text[0])] = true;
    if (std::count(std::begin(starts_), std::end(starts_), true) == 1) {
        only_start_ = static_cast<unsigned char>(entries_[0].text[0]);
    }
}

size_t AddedTokenMatcher::next_candidate(std::string_view text, size_t from) const {
    if (only_start_ >= 0) {
        const size_t at = text.find(static_cast<char>(only_start_), from);
        return at == std::string_view::npos ? text.size() : at;
    }
    while (from < text.size() && !starts_[static_cast<unsigned char>(text[from])]) ++from;
    return from;
}

const AddedTokenMatcher::Entry* AddedTokenMatcher::longest_at(std::string_view text, size_t begin) const {
    // Narrows the sorted entries to those that share one more byte with the text at a time.
    const Entry* found = nullptr;
    auto low = entries_.begin(), high = entries_.end();
    for (size_t length = 1; low != high && begin + length <= text.size(); ++length) {
        const auto byte = static_cast<unsigned char>(text[begin + length - 1]);
        const auto at = [length](const Entry& entry) {
            return entry.text.size() < length
                       ? -1
                       : static_cast<int>(static_cast<unsigned char>(entry.text[length - 1]));
        };
        low = std::lower_bound(low, high, byte,
                               [&](const Entry& entry, int value) { return at(entry) < value; });
        high = std::upper_bound(low, high, byte,
                                [&](int value, const Entry& entry) { return value < at(entry); });
        if (low != high && low->text.size() == length) found = &*low;
    }
    return found;
}

void AddedTokenMatcher::find(std::string_view text, std::vector<Match>& matches) const {
    matches.clear();
    if (entries_.empty()) return;
    size_t taken = 0;  // end of the last match with the white space it took
    for (size_t at = next_candidate(text, 0); at < text.size();) {
        const Entry* entry = longest_at(text, at);
        if (entry == nullptr) {
            at = next_candidate(text, at + 1);
            continue;
        }
        size_t begin = at, end = at + entry->text.size();
        at = next_candidate(text, end);
        if (entry->single_word && !stands_alone(text, begin, end, is_word_character)) continue;
        if (entry->delimited &&
            !stands_alone(text, begin, end, [](uint32_t c) { return !is_white_space(c); }))
            continue;
        if (entry->lstrip) {
            while (begin > 0 && is_white_space(character_before(text, begin))) {
                begin = static_cast<size_t>(utf8::previous(text.data() + begin) - text.data());
            }
            begin = std::max(begin, taken);
        }
        if (entry->rstrip) {
            while (end < text.size() && is_white_space(character_at(text, end))) {
                end += utf8::length(static_cast<unsigned char>(text[end]));
            }
        }
        matches.push_back({begin, end, entry->id});
        taken = end;
    }
}

}  // namespace vkbert
