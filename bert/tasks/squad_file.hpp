// Questions with their contexts and answers: SQuAD's JSON, and the generic JSON lines and tables.
#pragma once

#include <filesystem>

#include "bert/tasks/records.hpp"
#include "bert/tasks/table_reader.hpp"

namespace vkbert {

/// data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}, is_impossible}}.
/// Errors as read_records.
void read_squad_file(const Task& task, const std::filesystem::path& path, Records& records);

/// Question, context, and the answers: in JSON lines a list "answers" of {text, answer_start} (code points of
/// the context), in tables the columns answer and begin, both empty for a question without an answer. Errors
/// as read_records.
void read_question_table(const Task& task, const std::filesystem::path& path, TableReader& table,
                         Records& records);

}  // namespace vkbert
