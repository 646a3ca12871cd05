// The records of a task's file as text, before the tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bert/tasks/task.hpp"

namespace vkbert {

struct RightAnswer {
    std::string text;
    uint32_t begin = 0;  // code points of the context; checked: the text stands there
};

/// One line of classification, regression and choice; one sentence of tagging; one question of answering.
struct Record {
    std::string where;  // "FILE:12" or "FILE: question 5733be28": what messages begin with
    std::string text;   // answering: the question
    std::optional<std::string> pair;
    std::string label;                     // as the file spells it
    std::vector<std::string> choices;      // with their prefix
    std::vector<std::string> words, tags;  // of a sentence, one tag a word
    std::string id;                        // of a question
    uint32_t context = 0;                  // index into Records::contexts
    std::vector<RightAnswer> answers;      // none: the question has no answer
};

struct Records {
    std::string name;  // of the file
    std::vector<Record> rows;
    std::vector<std::string> contexts;
    size_t skipped = 0;  // records left out for their number of columns (Task::skip_ragged)
};

/// Errors (invalid_input), naming file and line or question: unreadable or empty files, no records, text that
/// is not UTF-8, wrong numbers of columns, missing columns and fields, labels that are not the task's (where
/// these are known), regression labels that are no finite numbers, answers that do not stand in their
/// context.
Records read_records(const Task& task, const std::filesystem::path& path);

/// Gives a task without labels those of its training file: numbers in their order, else "O" first, then in
/// the order of their bytes. Throws invalid_input where they look like another column: more than 1,024,
/// longer than 128 bytes, a different one in each of ten or more records, or only one.
void learn_labels(Task& task, const Records& records);

}  // namespace vkbert
