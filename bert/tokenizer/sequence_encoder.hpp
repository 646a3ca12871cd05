// One text to tokens: added tokens, normalization, pre-tokenization and WordPiece, fused.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bert/tokenizer/added_tokens.hpp"
#include "bert/tokenizer/character_table.hpp"
#include "bert/tokenizer/normalized_text.hpp"
#include "bert/tokenizer/tokenizer.hpp"
#include "bert/tokenizer/wordpiece.hpp"

namespace vkbert {

/// What all texts share. Immutable after construction.
struct SequenceModel {
    SequenceModel(Vocabulary words, const NormalizerOptions& normalizer, int32_t unk, size_t max_characters,
                  std::vector<AddedTokenMatcher::Entry> raw_tokens,
                  std::vector<AddedTokenMatcher::Entry> normalized_tokens);

    Vocabulary vocabulary;
    CharacterTable table;
    AddedTokenMatcher raw_matcher;         // over the text itself
    AddedTokenMatcher normalized_matcher;  // over normalized text
    int32_t unk_id;
    size_t max_characters_per_word;

    // The table once more for single bytes. letter: what a letter becomes, else 0; boundary: a CharacterKind
    // for ASCII white space and punctuation, else 0 (`letter`); isolated_id: id of a punctuation mark.
    char ascii_letter[256] = {};
    CharacterKind ascii_boundary[256] = {};
    int32_t ascii_isolated_id[128] = {};
};

/// Encodes texts one after another, appending to an Encoding's ids, offsets and word_ids. Holds scratch
/// memory only.
class SequenceEncoder {
  public:
    explicit SequenceEncoder(const SequenceModel& model);

    /// Appends the tokens of `text` (valid UTF-8). Stops early, at a word's end, once `limit` tokens are
    /// exceeded.
    void encode(std::string_view text, size_t limit, Encoding& out);

  private:
    void segment(std::string_view text);
    void segment_normalized(std::string_view text, uint32_t position);
    void split_normalized(size_t begin, size_t end, uint32_t position);
    void normalized_word(size_t begin, size_t end, size_t characters, uint32_t position);
    const char* long_word(const char* at, const char* end, size_t buffered);
    void append(const char* bytes, size_t length, uint32_t source);
    void append_outputs(uint16_t action, uint32_t code_point);
    void flush();
    void emit_ascii_word(size_t length, uint64_t hash);
    void emit_isolated(const char* bytes, size_t length, uint32_t source);
    void emit_word(const char* word, size_t bytes, const uint32_t* sources);
    void emit(int32_t id, uint32_t begin, uint32_t end);
    bool full() const { return out_->ids.size() > stop_; }

    const SequenceModel& model_;
    Encoding* out_ = nullptr;
    size_t stop_ = 0;
    uint32_t position_ = 0;       // index of the next code point
    int32_t word_ = 0;            // index of the next word
    bool needs_context_ = false;  // a character was met whose normalization depends on its neighbours

    // The word being collected: its bytes (Vocabulary::padding more are readable) and for each the code point
    // of the text that it comes from.
    std::vector<char> word_bytes_;
    std::vector<uint32_t> word_sources_;
    size_t word_length_ = 0;
    size_t word_characters_ = 0;
    uint32_t word_first_ = 0, word_last_ = 0;

    std::vector<WordPiece> pieces_;
    std::vector<uint64_t> hashes_;
    std::vector<AddedTokenMatcher::Match> matches_, normalized_matches_;
    NormalizedText normalized_;
};

}  // namespace vkbert
