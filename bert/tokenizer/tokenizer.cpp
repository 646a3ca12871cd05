#include "bert/tokenizer/tokenizer.hpp"

#include <algorithm>

#include "bert/tokenizer/tokenizer_builder.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {
namespace {

constexpr size_t no_limit = SIZE_MAX;

void clear(Encoding& e) {
    e.ids.clear();
    e.type_ids.clear();
    e.offsets.clear();
    e.special_tokens_mask.clear();
    e.word_ids.clear();
    e.sequence_ids.clear();
}

template <typename Function>
void for_each_field(Encoding& e, Function&& function) {
    function(e.ids);
    function(e.type_ids);
    function(e.offsets);
    function(e.special_tokens_mask);
    function(e.word_ids);
    function(e.sequence_ids);
}

void append_special(const TemplatePiece& piece, Encoding& out) {
    out.ids.push_back(piece.id);
    out.type_ids.push_back(piece.type_id);
    out.offsets.push_back({0, 0});
    out.special_tokens_mask.push_back(1);
    out.word_ids.push_back(-1);
    out.sequence_ids.push_back(-1);
}

/// Gives tokens whose ids, offsets and word_ids were appended the other fields.
void complete(const TemplatePiece& piece, Encoding& out) {
    out.type_ids.resize(out.size(), piece.type_id);
    out.special_tokens_mask.resize(out.size(), 0);
    out.sequence_ids.resize(out.size(), piece.kind == TemplatePiece::second ? 1 : 0);
}

void append_range(const TemplatePiece& piece, const Encoding& from, size_t begin, size_t end, Encoding& out) {
    const auto copy = [&](const auto& source, auto& target) {
        target.insert(target.end(), source.begin() + static_cast<ptrdiff_t>(begin),
                      source.begin() + static_cast<ptrdiff_t>(end));
    };
    copy(from.ids, out.ids);
    copy(from.offsets, out.offsets);
    copy(from.word_ids, out.word_ids);
    complete(piece, out);
}

struct Lengths {
    size_t first, second;
};

/// How many tokens of each text stay if `room` are allowed, as truncate_encodings of the reference has it.
Lengths truncated(size_t first, std::optional<size_t> second, size_t room, Truncation truncation) {
    const size_t other = second.value_or(0);
    if (truncation == Truncation::none || first + other <= room) return {first, other};
    if (room == 0) return {0, 0};
    if (truncation == Truncation::longest_first) {
        if (!second) return {room, 0};
        const size_t shorter = std::min(first, other);
        size_t a = shorter, b = shorter > room ? shorter : std::max(shorter, room - shorter);
        if (a + b > room) {
            a = room / 2;
            b = a + room % 2;
        }
        return first > other ? Lengths{b, a} : Lengths{a, b};
    }
    const bool shorten_first = truncation == Truncation::only_first;
    if (!shorten_first && !second) {
        fail(ErrorCode::invalid_argument, "truncation of the second text only, but there is no second text");
    }
    const size_t kept = shorten_first ? other : first;
    if (kept >= room) {
        fail(ErrorCode::invalid_input, "the {} text fills all {} tokens and leaves no room for the {} one",
             shorten_first ? "second" : "first", room, shorten_first ? "first" : "second");
    }
    return shorten_first ? Lengths{room - kept, other} : Lengths{first, room - kept};
}

size_t count_special(const std::vector<TemplatePiece>& pieces) {
    return static_cast<size_t>(std::count_if(pieces.begin(), pieces.end(), [](const TemplatePiece& piece) {
        return piece.kind == TemplatePiece::special;
    }));
}

/// Tokens that are left for the texts themselves.
size_t room_for_text(const std::vector<TemplatePiece>& pieces, const EncodeOptions& options) {
    if (!options.max_length || options.truncation == Truncation::none) return no_limit;
    const size_t special = options.add_special_tokens ? count_special(pieces) : 0;
    if (*options.max_length < special) {
        fail(ErrorCode::invalid_argument, "max_length {} is less than the {} special tokens",
             *options.max_length, special);
    }
    return *options.max_length - special;
}

void check_utf8(std::string_view text, const char* which) {
    const std::optional<size_t> invalid = utf8::find_invalid(text);
    if (invalid) fail(ErrorCode::invalid_input, "{} is not valid UTF-8 at byte {}", which, *invalid);
}

/// The ranges of tokens that windows of `most` tokens cover, the first one first.
std::vector<std::pair<size_t, size_t>> window_ranges(size_t tokens, size_t most, size_t stride) {
    if (most >= tokens) return {{0, tokens}};
    if (most == 0) return {{0, 0}, {0, tokens}};  // as in the reference: nothing, then what did not fit
    if (stride >= most) {
        fail(ErrorCode::invalid_argument, "stride {} is not less than the {} tokens of a window", stride,
             most);
    }
    std::vector<std::pair<size_t, size_t>> ranges;
    for (size_t begin = 0; ranges.empty() || ranges.back().second < tokens; begin += most - stride) {
        ranges.emplace_back(begin, std::min(begin + most, tokens));
    }
    return ranges;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

/// The reference's clean-up of one decoded token with the space before it.
void clean_up(std::string& token) {
    static constexpr std::string_view rules[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& rule : rules) replace_all(token, rule[0], rule[1]);
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

void Tokenizer::encode(std::string_view text, std::optional<std::string_view> pair,
                       const EncodeOptions& options, Encoding& out) const {
    const std::vector<TemplatePiece>& pieces = pair ? parts_->post.pair : parts_->post.single;
    const size_t room = room_for_text(pieces, options);
    check_utf8(text, "the text");
    if (pair) check_utf8(*pair, "the second text");
    clear(out);
    // Tokens beyond the room need not be made, except where the longer text must be known.
    const size_t limit = pair && options.truncation == Truncation::longest_first ? no_limit : room;
    SequenceEncoder encoder(parts_->model);
    size_t first_begin = 0, first_count = 0;
    for (const TemplatePiece& piece : pieces) {
        if (piece.kind == TemplatePiece::special) {
            if (options.add_special_tokens) append_special(piece, out);
            continue;
        }
        const size_t begin = out.size();
        encoder.encode(piece.kind == TemplatePiece::first ? text : *pair, limit, out);
        const size_t count = out.size() - begin;
        complete(piece, out);
        if (piece.kind == TemplatePiece::first) {
            first_begin = begin;
            first_count = count;
            if (pair) continue;
        }
        const bool second = piece.kind == TemplatePiece::second;
        const Lengths kept =
            truncated(first_count, second ? std::optional(count) : std::nullopt, room, options.truncation);
        for_each_field(out, [&](auto& field) {
            if (second) field.resize(begin + kept.second);
            const auto at = field.begin() + static_cast<ptrdiff_t>(first_begin);
            field.erase(at + static_cast<ptrdiff_t>(kept.first), at + static_cast<ptrdiff_t>(first_count));
        });
    }
}

Encoding Tokenizer::encode(std::string_view text, std::optional<std::string_view> pair,
                           const EncodeOptions& options) const {
    Encoding out;
    encode(text, pair, options, out);
    return out;
}

std::vector<Encoding> Tokenizer::encode_windows(std::string_view text, std::optional<std::string_view> pair,
                                                const EncodeOptions& options) const {
    const std::vector<TemplatePiece>& pieces = pair ? parts_->post.pair : parts_->post.single;
    const size_t room = room_for_text(pieces, options);
    check_utf8(text, "the text");
    if (pair) check_utf8(*pair, "the second text");
    SequenceEncoder encoder(parts_->model);
    Encoding texts[2];
    encoder.encode(text, no_limit, texts[0]);
    if (pair) encoder.encode(*pair, no_limit, texts[1]);
    const Lengths most = truncated(texts[0].size(), pair ? std::optional(texts[1].size()) : std::nullopt,
                                   room, options.truncation);
    const auto first = window_ranges(texts[0].size(), most.first, options.stride);
    const auto second = window_ranges(texts[1].size(), most.second, options.stride);
    std::vector<Encoding> windows;
    const auto append = [&](size_t a, size_t b) {
        Encoding& out = windows.emplace_back();
        for (const TemplatePiece& piece : pieces) {
            if (piece.kind != TemplatePiece::special) {
                const bool is_second = piece.kind == TemplatePiece::second;
                const auto& range = is_second ? second[b] : first[a];
                append_range(piece, texts[is_second], range.first, range.second, out);
            } else if (options.add_special_tokens) {
                append_special(piece, out);
            }
        }
    };
    append(0, 0);
    for (size_t a = 1; a < first.size(); ++a) {
        for (size_t b = 0; b < second.size(); ++b) append(a, b);
    }
    for (size_t b = 1; b < second.size(); ++b) append(0, b);
    return windows;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
    std::string result, part;
    const Vocabulary& vocabulary = parts_->model.vocabulary;
    bool first = true;
    for (const int32_t id : ids) {
        const std::optional<std::string_view> text = vocabulary.token(id);
        if (!text || (skip_special_tokens && parts_->special[static_cast<size_t>(id)])) continue;
        if (first) {
            part = *text;
        } else if (text->starts_with(vocabulary.prefix())) {
            part = text->substr(vocabulary.prefix().size());
        } else {
            part = " ";
            part += *text;
        }
        first = false;
        if (parts_->clean_up_decoded) clean_up(part);
        result += part;
    }
    return result;
}

std::optional<std::string_view> Tokenizer::token(int32_t id) const {
    return parts_->model.vocabulary.token(id);
}
std::optional<int32_t> Tokenizer::id(std::string_view token) const {
    return parts_->model.vocabulary.id(token);
}
size_t Tokenizer::vocabulary_size() const {
    return parts_->model.vocabulary.size();
}
int32_t Tokenizer::unk_id() const {
    return parts_->model.unk_id;
}
int32_t Tokenizer::sep_id() const {
    return parts_->sep_id;
}
int32_t Tokenizer::cls_id() const {
    return parts_->cls_id;
}
std::optional<int32_t> Tokenizer::pad_id() const {
    return parts_->pad_id;
}
std::optional<int32_t> Tokenizer::mask_id() const {
    return parts_->mask_id;
}
size_t Tokenizer::special_token_count(bool pair) const {
    return count_special(pair ? parts_->post.pair : parts_->post.single);
}
std::optional<size_t> Tokenizer::model_max_length() const {
    return parts_->model_max_length;
}

}  // namespace vkbert
