// Records as the model sees them.
#pragma once

#include <cstdint>
#include <vector>

#include "bert/tasks/example.hpp"
#include "bert/tasks/records.hpp"
#include "bert/tokenizer/tokenizer.hpp"

namespace vkbert {

struct ExampleOptions {
    uint32_t max_length = 128;  // tokens of a sequence, special ones included
    uint32_t doc_stride = 128;  // answering: tokens that neighbouring windows share, at most half of the room
    uint32_t max_query = 64;    // answering: tokens of the question; the rest of it is left out
    bool for_scoring = false;   // keep what Scorer needs
};

struct Dataset {
    /// In the order of the records; answering: one for each window of a question, neighbours.
    std::vector<Example> examples;
    size_t record_count = 0;
    size_t truncated = 0;  // records that lost tokens at max_length (pairs: at the end of the longer side)
    size_t skipped = 0;    // Records::skipped

    // With for_scoring:
    Records records;
    std::vector<Encoding> windows;                   // answering: one an example
    std::vector<std::vector<uint32_t>> word_tokens;  // tagging: for each record's words the first token, or
                                                     // ignored_label where none is left of the word
    /// Throws invalid_input naming the first record with a word piece, segment or length that the model's
    /// embeddings have no row for.
    void check_fits(const Config& config) const;
};

/// Encodes the records of a task whose labels are known. Texts: [CLS] text [SEP] or [CLS] text [SEP] pair
/// [SEP], the longer side cut first. Tagging: words joined by spaces, the tag on each word's first token.
/// Answering: windows [CLS] question [SEP] part of the context [SEP], the first answer's tokens as the label,
/// {0, 0} where it does not lie wholly in the window. Choice: [CLS] text [SEP] choice [SEP] for each. Errors:
/// invalid_input for labels that are not the task's, naming file and line; invalid_argument where max_length
/// leaves no room.
Dataset encode_records(const Task& task, Records records, const Tokenizer& tokenizer,
                       const ExampleOptions& options);

}  // namespace vkbert
