// What a task's files become: sequences of word pieces with labels, for each kind of head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace vkbert {

/// One sequence with its special tokens: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
struct TokenSequence {
    std::vector<uint32_t> ids;    // (t) word pieces
    std::vector<uint32_t> types;  // (t) 0 up to the first [SEP], 1 behind it
};

/// The label of a token that takes no part in the loss: special tokens, all pieces of a word but the first.
constexpr uint32_t ignored_label = 0xffffffff;

struct ClassLabel {  // Head::sequence_classification
    uint32_t index = 0;
};
struct ValueLabel {  // Head::sequence_classification with one label: regression
    float value = 0;
};
struct TokenLabels {               // Head::token_classification
    std::vector<uint32_t> labels;  // (t) one a token, or ignored_label
};
struct MaskedLabels {              // Head::masked_lm: what stood at the masked places
    std::vector<uint32_t> places;  // (m) tokens of the sequence
    std::vector<uint32_t> words;   // (m) word pieces
};
struct SpanLabel {  // Head::question_answering: tokens of the sequence; {0, 0}: no answer in this window
    uint32_t start = 0, end = 0;  // both included
};
struct ChoiceLabel {  // Head::multiple_choice: which of the example's sequences is right
    uint32_t index = 0;
};
using Label = std::variant<ClassLabel, ValueLabel, TokenLabels, MaskedLabels, SpanLabel, ChoiceLabel>;

/// What is never split over micro-batches, and counts as one in --batch-size.
struct Example {
    std::vector<TokenSequence> sequences;  // one; with Head::multiple_choice one a choice
    Label label;
    uint32_t record = 0;  // index of the record that it is of: several windows can be of one question

    uint32_t tokens() const {
        size_t count = 0;
        for (const TokenSequence& sequence : sequences) count += sequence.ids.size();
        return uint32_t(count);
    }
};

}  // namespace vkbert
