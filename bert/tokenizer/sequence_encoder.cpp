#include "bert/tokenizer/sequence_encoder.hpp"

#include <algorithm>

#include "bert/tokenizer/unicode_tables.hpp"
#include "bert/tokenizer/utf8.hpp"

namespace vkbert {
namespace {

// Most words; longer ones grow the buffer.
constexpr size_t initial_word_bytes = 512;

uint64_t hash_of(const char* bytes, size_t length) {
    uint64_t hash = 0;
    for (size_t i = 0; i < length; ++i) hash = Vocabulary::extend(hash, static_cast<unsigned char>(bytes[i]));
    return hash;
}

unsigned char byte_of(char c) {
    return static_cast<unsigned char>(c);
}

}  // namespace

SequenceModel::SequenceModel(Vocabulary words, const NormalizerOptions& normalizer, int32_t unk,
                             size_t max_characters, std::vector<AddedTokenMatcher::Entry> raw_tokens,
                             std::vector<AddedTokenMatcher::Entry> normalized_tokens)
    : vocabulary(std::move(words)),
      table(normalizer),
      raw_matcher(std::move(raw_tokens)),
      normalized_matcher(std::move(normalized_tokens)),
      unk_id(unk),
      max_characters_per_word(max_characters) {
    for (uint32_t c = 0; c < 128; ++c) {
        const uint16_t action = table.action(c);
        const char text[1 + Vocabulary::padding] = {static_cast<char>(c)};
        const int32_t id = vocabulary.find(text, 1, c, false);
        ascii_isolated_id[c] = id < 0 || max_characters == 0 ? unk_id : id;
        if (action == CharacterTable::keep) ascii_letter[c] = static_cast<char>(c);
        if (action == CharacterTable::space) ascii_boundary[c] = CharacterKind::space;
        if (action == CharacterTable::isolate) ascii_boundary[c] = CharacterKind::isolated;
        if (action >= CharacterTable::replaced) ascii_letter[c] = table.replacement(action)[0].bytes[0];
    }
}

SequenceEncoder::SequenceEncoder(const SequenceModel& model)
    : model_(model),
      word_bytes_(initial_word_bytes + Vocabulary::padding),
      word_sources_(initial_word_bytes) {}

void SequenceEncoder::emit(int32_t id, uint32_t begin, uint32_t end) {
    out_->ids.push_back(id);
    out_->offsets.push_back({begin, end});
    out_->word_ids.push_back(word_);
}

void SequenceEncoder::emit_word(const char* word, size_t bytes, const uint32_t* sources) {
    const int32_t whole = model_.vocabulary.find(word, bytes, hash_of(word, bytes), false);
    if (whole >= 0) {
        emit(whole, sources[0], sources[bytes - 1] + 1);
    } else {
        split_word(model_.vocabulary, word, bytes, pieces_, hashes_);
        for (const WordPiece& piece : pieces_)
            emit(piece.id, sources[piece.begin], sources[piece.end - 1] + 1);
        if (pieces_.empty()) emit(model_.unk_id, sources[0], sources[bytes - 1] + 1);
    }
    ++word_;
}

/// A word of ASCII letters in the buffer, next to each other in the text and beginning at position_.
void SequenceEncoder::emit_ascii_word(size_t length, uint64_t hash) {
    const char* word = word_bytes_.data();
    const uint32_t begin = position_, end = begin + static_cast<uint32_t>(length);
    const int32_t whole = model_.vocabulary.find(word, length, hash, false);
    if (whole >= 0) {
        emit(whole, begin, end);
    } else {
        split_word(model_.vocabulary, word, length, pieces_, hashes_);
        for (const WordPiece& piece : pieces_) emit(piece.id, begin + piece.begin, begin + piece.end);
        if (pieces_.empty()) emit(model_.unk_id, begin, end);
    }
    ++word_;
}

/// A character that is a word. `bytes` may be in the text, so it is copied to have readable bytes behind it.
void SequenceEncoder::emit_isolated(const char* bytes, size_t length, uint32_t source) {
    char word[4 + Vocabulary::padding] = {};
    std::copy_n(bytes, length, word);
    const int32_t id = model_.vocabulary.find(word, length, hash_of(word, length), false);
    emit(id < 0 || model_.max_characters_per_word == 0 ? model_.unk_id : id, source, source + 1);
    ++word_;
}

void SequenceEncoder::append(const char* bytes, size_t length, uint32_t source) {
    if (word_characters_++ == 0) word_first_ = source;
    word_last_ = source;
    if (word_characters_ > model_.max_characters_per_word) return;
    if (word_length_ + length > word_sources_.size()) {
        word_sources_.resize(word_sources_.size() * 2);
        word_bytes_.resize(word_sources_.size() + Vocabulary::padding);
    }
    for (size_t i = 0; i < length; ++i) {
        word_bytes_[word_length_ + i] = bytes[i];
        word_sources_[word_length_ + i] = source;
    }
    word_length_ += length;
}

void SequenceEncoder::flush() {
    if (word_characters_ > model_.max_characters_per_word) {
        emit(model_.unk_id, word_first_, word_last_ + 1);
        ++word_;
    } else if (word_characters_ > 0) {
        emit_word(word_bytes_.data(), word_length_, word_sources_.data());
    }
    word_length_ = word_characters_ = 0;
}

void SequenceEncoder::append_outputs(uint16_t action, uint32_t code_point) {
    if (action == CharacterTable::hangul) {
        uint32_t jamo[3];
        const int count = unicode::decompose_hangul(code_point, jamo);
        for (int i = 0; i < count; ++i) {
            char bytes[4];
            append(bytes, utf8::encode(jamo[i], bytes), position_);
        }
        return;
    }
    for (const CharacterTable::Output& output : model_.table.replacement(action)) {
        if (output.kind == CharacterKind::letter) {
            append(output.bytes.data(), output.length, position_);
            continue;
        }
        flush();
        if (output.kind == CharacterKind::isolated)
            emit_isolated(output.bytes.data(), output.length, position_);
    }
}

/// Continues a word of which `buffered` ASCII letters from position_ on are in the buffer, character by
/// character, to its end. Returns where it stopped: at an ASCII boundary, behind any other, or at the end.
const char* SequenceEncoder::long_word(const char* at, const char* end, size_t buffered) {
    for (size_t i = 0; i < buffered; ++i) word_sources_[i] = position_ + static_cast<uint32_t>(i);
    word_length_ = word_characters_ = buffered;
    word_first_ = position_;
    position_ += static_cast<uint32_t>(buffered);
    word_last_ = position_ - 1;
    at += buffered;
    bool ended = false;
    while (at < end && !ended && model_.ascii_boundary[byte_of(*at)] == CharacterKind::letter) {
        const char* begin = at;
        const uint32_t code_point = utf8::decode(at);
        const uint16_t action = model_.table.action(code_point);
        switch (action) {
            case CharacterTable::keep:
                append(begin, static_cast<size_t>(at - begin), position_);
                break;
            case CharacterTable::drop:
                break;
            case CharacterTable::space:
                ended = true;
                break;
            case CharacterTable::isolate:
                flush();
                emit_isolated(begin, static_cast<size_t>(at - begin), position_);
                ended = true;
                break;
            case CharacterTable::reorder:
                needs_context_ = ended = true;
                break;
            default:
                append_outputs(action, code_point);
        }
        ++position_;
    }
    flush();
    return at;
}

void SequenceEncoder::segment(std::string_view text) {
    const char *at = text.data(), *end = at + text.size();
    const size_t room = std::min(initial_word_bytes, model_.max_characters_per_word);
    while (at < end && !full() && !needs_context_) {
        char* word = word_bytes_.data();
        const size_t most = std::min(static_cast<size_t>(end - at), room);
        size_t length = 0;
        uint64_t hash = 0;
        for (char letter; length < most && (letter = model_.ascii_letter[byte_of(at[length])]) != 0;
             ++length) {
            word[length] = letter;
            hash = Vocabulary::extend(hash, byte_of(letter));
        }
        if (at + length < end && model_.ascii_boundary[byte_of(at[length])] == CharacterKind::letter) {
            at = long_word(at, end, length);
            continue;
        }
        if (length > 0) emit_ascii_word(length, hash);
        at += length;
        position_ += static_cast<uint32_t>(length);
        for (; at < end && model_.ascii_boundary[byte_of(*at)] != CharacterKind::letter; ++at, ++position_) {
            if (model_.ascii_boundary[byte_of(*at)] == CharacterKind::space) continue;
            emit(model_.ascii_isolated_id[byte_of(*at)], position_, position_ + 1);
            ++word_;
        }
    }
}

/// A word of normalized_: bytes [begin, end); positions are those of its sources plus `position`.
void SequenceEncoder::normalized_word(size_t begin, size_t end, size_t characters, uint32_t position) {
    if (characters == 0) return;
    const uint32_t* sources = normalized_.sources.data() + begin;
    const size_t first = out_->ids.size(), bytes = end - begin;
    if (characters > model_.max_characters_per_word) {
        emit(model_.unk_id, sources[0], sources[bytes - 1] + 1);
        ++word_;
    } else {
        emit_word(normalized_.bytes.data() + begin, bytes, sources);
    }
    for (size_t i = first; i < out_->offsets.size(); ++i) {
        out_->offsets[i].begin += position;
        out_->offsets[i].end += position;
    }
}

void SequenceEncoder::split_normalized(size_t begin, size_t end, uint32_t position) {
    const char* text = normalized_.bytes.data();
    size_t word = begin, characters = 0;
    for (const char* at = text + begin; at < text + end && !full();) {
        const size_t start = static_cast<size_t>(at - text);
        const CharacterKind kind = normalized_kind(utf8::decode(at));
        if (kind == CharacterKind::letter) {
            ++characters;
            continue;
        }
        const size_t behind = static_cast<size_t>(at - text);
        normalized_word(word, start, characters, position);
        if (kind == CharacterKind::isolated) normalized_word(start, behind, 1, position);
        word = behind;
        characters = 0;
    }
    if (!full()) normalized_word(word, end, characters, position);
}

/// segment() by way of the whole normalized text; `position` is the index of the segment's first code point.
void SequenceEncoder::segment_normalized(std::string_view text, uint32_t position) {
    normalize(text, model_.table, normalized_);
    const size_t bytes = normalized_.bytes.size();
    model_.normalized_matcher.find(normalized_.bytes, normalized_matches_);
    normalized_.bytes.append(Vocabulary::padding, '\0');
    size_t taken = 0;
    for (const AddedTokenMatcher::Match& match : normalized_matches_) {
        if (taken < match.begin) split_normalized(taken, match.begin, position);
        if (full()) return;
        emit(match.id, position + normalized_.sources[match.begin],
             position + normalized_.sources[match.end - 1] + 1);
        ++word_;
        taken = match.end;
    }
    split_normalized(taken, bytes, position);
}

void SequenceEncoder::encode(std::string_view text, size_t limit, Encoding& out) {
    out_ = &out;
    stop_ = limit > SIZE_MAX - out.ids.size() ? SIZE_MAX : out.ids.size() + limit;
    position_ = 0;
    word_ = 0;
    const auto cut = [&](size_t begin, size_t end) {
        const std::string_view part = text.substr(begin, end - begin);
        const size_t tokens = out.ids.size();
        const uint32_t position = position_;
        const int32_t word = word_;
        needs_context_ = !model_.normalized_matcher.empty();
        if (!needs_context_) segment(part);
        if (!needs_context_) return;
        out.ids.resize(tokens);
        out.offsets.resize(tokens);
        out.word_ids.resize(tokens);
        word_ = word;
        segment_normalized(part, position);
        position_ = position + static_cast<uint32_t>(utf8::count(part));
    };
    model_.raw_matcher.find(text, matches_);
    size_t taken = 0;
    for (const AddedTokenMatcher::Match& match : matches_) {
        if (taken < match.begin) cut(taken, match.begin);
        if (full()) return;
        if (taken > match.begin)
            position_ -= static_cast<uint32_t>(utf8::count(text.substr(match.begin, taken - match.begin)));
        const uint32_t length =
            static_cast<uint32_t>(utf8::count(text.substr(match.begin, match.end - match.begin)));
        emit(match.id, position_, position_ + length);
        ++word_;
        position_ += length;
        taken = match.end;
    }
    if (taken < text.size()) cut(taken, text.size());
}

}  // namespace vkbert
