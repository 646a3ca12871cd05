// Tokens that are found in the text itself, before (or, if `normalized`, after) it is normalized.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vkbert {

/// A token that is cut out of the text as a whole, with the flags of Hugging Face's AddedToken.
struct AddedToken {
    std::string content;
    bool special = false;      ///< left out by decode() on request
    bool single_word = false;  ///< not next to a word character
    bool lstrip = false;       ///< takes the white space before it
    bool rstrip = false;       ///< takes the white space behind it
    bool normalized = true;    ///< content is normalized and looked for in normalized text
};

/// Finds one set of added tokens in text, leftmost first and of those the longest.
class AddedTokenMatcher {
  public:
    struct Entry {
        std::string text;  ///< what to look for
        int32_t id;
        bool single_word, lstrip, rstrip;
        bool delimited;  ///< only between white space (never_split words)
    };
    /// [begin, end) bytes of the text are the token.
    struct Match {
        size_t begin, end;
        int32_t id;
    };

    /// Of entries with equal text the first counts.
    explicit AddedTokenMatcher(std::vector<Entry> entries);

    bool empty() const { return entries_.empty(); }
    /// All matches in order, written to `matches`.
    void find(std::string_view text, std::vector<Match>& matches) const;

  private:
    const Entry* longest_at(std::string_view text, size_t begin) const;
    size_t next_candidate(std::string_view text, size_t from) const;

    std::vector<Entry> entries_;  // sorted by text
    bool starts_[256] = {};
    int only_start_ = -1;  // the byte that all texts start with
};

}  // namespace vkbert
