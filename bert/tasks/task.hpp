// The tasks that BERT is fine-tuned on: which head, which labels, where they stand in a file, which scores.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bert/config.hpp"
#include "bert/parameters.hpp"

namespace vkbert {

enum class TaskKind : uint8_t { classification, regression, tagging, answering, choice };

/// Column names by role: text, pair, label, prefix, choices, context, id, answer, begin. A name is the
/// header's or the JSON field's; where all names are numbers, these count columns from 1 and the file has no
/// header.
using Columns = std::map<std::string, std::vector<std::string>, std::less<>>;

/// "text=sentence,label=polarity,choices=ending0+ending1"; throws invalid_argument for anything else.
Columns parse_columns(std::string_view text);

struct Task {
    std::string name;
    TaskKind kind = TaskKind::classification;
    bool glue = false;          // GLUE's own TSV files
    bool conll = false;         // columns of CoNLL's shared tasks: word first, tag last, split at white space
    bool squad = false;         // SQuAD's own JSON
    bool unanswerable = false;  // questions may have no answer (SQuAD 2.0)
    bool skip_ragged = false;   // leave out records with a wrong number of columns (QQP's own file has some)
    Columns columns;
    /// Names of the classes or tags in order of their index; none until learn_labels() or use_labels() where
    /// the task does not fix them. Regression, answering and choice have none.
    std::vector<std::string> labels;
    /// How files spell them, one each; empty: as `labels`.
    std::vector<std::string> label_values;
    /// The scores that are shown, and the one that decides which checkpoint is the best; higher is better.
    std::vector<std::string> metrics;
    std::string main_metric;

    Head head() const;
    /// transformers' problem_type for config.json: "" but for classification and regression.
    std::string problem_type() const;
    /// Most tokens of a sequence when nothing else is said: 384 for answering, else 128.
    uint32_t default_max_length() const { return kind == TaskKind::answering ? 384 : 128; }
    /// Rows of the output layer; 1 for regression and choice, 2 (start, end) for answering.
    uint32_t outputs() const;

    /// The index of a label as a file spells it; `where` begins the message. Throws invalid_input, listing
    /// the labels there are.
    uint32_t label_index(std::string_view label, std::string_view where) const;
    /// Takes over the order of a trained model's labels (config.labels). Labels that the config does not name
    /// ("LABEL_0", ...) leave the task's. Throws invalid_input where they are not the task's labels.
    void use_labels(const std::vector<std::string>& model_labels);
};

/// All names that make_task knows, in the order of the command's help.
std::vector<std::string> task_names();

/// GLUE: sst2 cola mrpc stsb qqp mnli qnli rte wnli. SQuAD: squad squad2. swag; ner (CoNLL columns). Generic
/// on .tsv, .csv and .jsonl files: classification regression tagging answering choice; `columns` are for
/// these. Errors: invalid_argument for unknown names and for columns or roles that the task does not have.
Task make_task(std::string_view name, const Columns& columns = {});

/// The config of a model trained for the task from a pre-trained model's: architectures, labels and
/// problem_type set as transformers needs them to open the folder with the matching class.
Config trained_config(const Config& pretrained, const Task& task);

}  // namespace vkbert
