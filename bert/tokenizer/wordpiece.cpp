#include "bert/tokenizer/wordpiece.hpp"

#include <algorithm>
#include <bit>

#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {
namespace {

uint64_t hash_of(std::string_view text) {
    uint64_t hash = 0;
    for (const char c : text) hash = Vocabulary::extend(hash, static_cast<unsigned char>(c));
    return hash;
}

}  // namespace

Vocabulary::Vocabulary(std::string prefix, size_t expected, size_t expected_bytes)
    : prefix_(std::move(prefix)) {
    // A quarter of a vocabulary continues words and has a second slot; the table stays at most 5/8 full.
    const size_t slots = std::bit_ceil(std::max<size_t>(64, expected * 2));
    slots_.resize(slots);
    mask_ = slots - 1;
    shift_ = 64 - std::countr_zero(slots);
    by_id_.reserve(expected);
    pool_.reserve(expected_bytes + expected * padding);
}

bool Vocabulary::tail_equals(const Slot& slot, const char* word, size_t bytes) const {
    const Text& text = by_id_[static_cast<size_t>(slot.id)];
    const char* stored = pool_.data() + text.offset + (text.bytes - bytes);
    return std::memcmp(stored + 8, word + 8, bytes - 8) == 0;
}

void Vocabulary::place_slot(const Slot& slot, uint64_t hash) {
    size_t at = place(hash, (slot.key & continuing_bit) != 0);
    while (slots_[at].key != 0) at = (at + 1) & mask_;
    slots_[at] = slot;
}

void Vocabulary::grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    --shift_;
    for (const Slot& slot : old) {
        if (slot.key == 0) continue;
        const Text& text = by_id_[static_cast<size_t>(slot.id)];
        const size_t bytes = slot.key & ~continuing_bit;
        place_slot(slot, hash_of({pool_.data() + text.offset + (text.bytes - bytes), bytes}));
    }
}

void Vocabulary::insert(std::string_view text, int32_t id, bool continuing) {
    const uint64_t hash = hash_of(text);
    const uint32_t key = static_cast<uint32_t>(text.size()) | (continuing ? continuing_bit : 0);
    const uint64_t head = load_head(text.data(), text.size());
    longest_[continuing] = std::max(longest_[continuing], text.size());
    for (size_t at = place(hash, continuing); slots_[at].key != 0; at = (at + 1) & mask_) {
        Slot& slot = slots_[at];
        if (slot.key == key && slot.head == head &&
            (text.size() <= 8 || tail_equals(slot, text.data(), text.size()))) {
            slot.id = id;
            return;
        }
    }
    if (++used_ * 8 > slots_.size() * 5) grow();
    place_slot({head, id, key}, hash);
}

std::string_view Vocabulary::store(std::string_view text, int32_t id) {
    constexpr size_t longest_text = 4096, spare_ids = 1 << 20;
    if (text.size() > longest_text) {
        fail(ErrorCode::invalid_input, "token {} has {} bytes, more than the {} that are allowed", id,
             text.size(), longest_text);
    }
    if (id < 0 || static_cast<size_t>(id) > added_ * 2 + spare_ids) {
        fail(ErrorCode::invalid_input, "token \"{}\" has the id {}, which is out of range",
             utf8::printable(text), id);
    }
    ++added_;
    if (static_cast<size_t>(id) >= by_id_.size()) by_id_.resize(static_cast<size_t>(id) + 1);
    if (pool_.size() + text.size() + padding > UINT32_MAX)
        fail(ErrorCode::invalid_input, "vocabulary of over 4 GiB");
    const uint32_t offset = static_cast<uint32_t>(pool_.size());
    pool_.append(text);
    pool_.append(padding, '\0');
    by_id_[static_cast<size_t>(id)] = {offset, static_cast<uint32_t>(text.size())};
    return {pool_.data() + offset, text.size()};
}

void Vocabulary::add(std::string_view text, int32_t id) {
    const std::string_view stored = store(text, id);
    if (!stored.empty()) insert(stored, id, false);
    if (stored.size() > prefix_.size() && stored.starts_with(prefix_))
        insert(stored.substr(prefix_.size()), id, true);
}

void Vocabulary::add_whole(std::string_view text, int32_t id) {
    store(text, id);
    whole_.insert_or_assign(std::string(text), id);
}

std::optional<int32_t> Vocabulary::id(std::string_view text) const {
    if (const auto whole = whole_.find(text); whole != whole_.end()) return whole->second;
    if (text.empty() || text.size() > longest_[false]) return std::nullopt;
    std::string padded(text);
    padded.append(padding, '\0');
    const int32_t found = find(padded.data(), text.size(), hash_of(text), false);
    return found < 0 ? std::nullopt : std::optional(found);
}

std::optional<std::string_view> Vocabulary::token(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= by_id_.size()) return std::nullopt;
    const Text& text = by_id_[static_cast<size_t>(id)];
    if (text.bytes == absent) return std::nullopt;
    return std::string_view(pool_.data() + text.offset, text.bytes);
}

void split_word(const Vocabulary& vocabulary, const char* word, size_t bytes, std::vector<WordPiece>& pieces,
                std::vector<uint64_t>& hashes) {
    pieces.clear();
    size_t begin = 0;
    while (begin < bytes) {
        const bool continuing = begin > 0;
        const size_t most = std::min(bytes - begin, vocabulary.longest(continuing));
        hashes.resize(most + 1);
        uint64_t hash = 0;
        for (size_t i = 0; i < most; ++i) {
            hash = Vocabulary::extend(hash, static_cast<unsigned char>(word[begin + i]));
            hashes[i + 1] = hash;
        }
        size_t length = most;
        int32_t id = -1;
        for (; length > 0; --length) {
            id = vocabulary.find(word + begin, length, hashes[length], continuing);
            if (id >= 0) break;
        }
        if (length == 0) {
            pieces.clear();
            return;
        }
        pieces.push_back({id, static_cast<uint32_t>(begin), static_cast<uint32_t>(begin + length)});
        begin += length;
    }
}

}  // namespace vkbert
