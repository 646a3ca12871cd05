#include "bert/tasks/task.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <span>

#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

// GLUE's files have the columns and labels of https://gluebenchmark.com; class indices are those of the data
// sets library, which published checkpoints follow.
struct GlueTask {
    const char *name, *text, *pair, *label;
    std::vector<std::string> labels, values;
    std::vector<std::string> metrics;
    const char* main_metric;
};

const std::vector<GlueTask>& glue_tasks() {
    static const std::vector<GlueTask> tasks{
        {"sst2", "sentence", "", "label", {"negative", "positive"}, {"0", "1"}, {"accuracy"}, "accuracy"},
        {"cola",
         "4",
         "",
         "2",
         {"unacceptable", "acceptable"},
         {"0", "1"},
         {"matthews_correlation", "accuracy"},
         "matthews_correlation"},
        {"mrpc",
         "#1 String",
         "#2 String",
         "Quality",
         {"not_equivalent", "equivalent"},
         {"0", "1"},
         {"accuracy", "f1"},
         "f1"},
        {"stsb", "sentence1", "sentence2", "score", {}, {}, {"pearson", "spearman"}, "spearman"},
        {"qqp",
         "question1",
         "question2",
         "is_duplicate",
         {"not_duplicate", "duplicate"},
         {"0", "1"},
         {"accuracy", "f1"},
         "f1"},
        {"mnli",
         "sentence1",
         "sentence2",
         "gold_label",
         {"entailment", "neutral", "contradiction"},
         {},
         {"accuracy"},
         "accuracy"},
        {"qnli",
         "question",
         "sentence",
         "label",
         {"entailment", "not_entailment"},
         {},
         {"accuracy"},
         "accuracy"},
        {"rte",
         "sentence1",
         "sentence2",
         "label",
         {"entailment", "not_entailment"},
         {},
         {"accuracy"},
         "accuracy"},
        {"wnli",
         "sentence1",
         "sentence2",
         "label",
         {"not_entailment", "entailment"},
         {"0", "1"},
         {"accuracy"},
         "accuracy"},
    };
    return tasks;
}

constexpr std::array other_tasks{"squad",      "squad2",  "swag",      "ner",   "classification",
                                 "regression", "tagging", "answering", "choice"};

Task glue_task(const GlueTask& glue) {
    Task task;
    task.name = glue.name;
    task.kind = glue.labels.empty() ? TaskKind::regression : TaskKind::classification;
    task.glue = true;
    task.skip_ragged = task.name == "qqp";
    task.columns = {{"text", {glue.text}}, {"label", {glue.label}}};
    if (*glue.pair) task.columns["pair"] = {glue.pair};
    task.labels = glue.labels;
    task.label_values = glue.values;
    task.metrics = glue.metrics;
    task.main_metric = glue.main_metric;
    return task;
}

Task other_task(std::string_view name) {
    Task task;
    task.name = name;
    task.metrics = {"accuracy"};
    if (name == "squad" || name == "squad2" || name == "answering") {
        task.kind = TaskKind::answering;
        task.squad = name != "answering";
        task.unanswerable = name == "squad2";
        task.metrics = {"exact_match", "f1"};
        if (task.unanswerable)
            task.metrics = {"exact", "f1", "best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"};
    } else if (name == "swag" || name == "choice") {
        task.kind = TaskKind::choice;
        if (name == "swag")
            task.columns = {{"text", {"sent1"}},
                            {"prefix", {"sent2"}},
                            {"choices", {"ending0", "ending1", "ending2", "ending3"}},
                            {"label", {"label"}}};
    } else if (name == "ner" || name == "tagging") {
        task.kind = TaskKind::tagging;
        task.conll = name == "ner";
        task.metrics = {"precision", "recall", "f1", "accuracy"};
    } else if (name == "regression") {
        task.kind = TaskKind::regression;
        task.metrics = {"pearson", "spearman", "mean_squared_error"};
    }
    const bool accuracy = task.kind == TaskKind::classification || task.kind == TaskKind::choice;
    task.main_metric = accuracy ? "accuracy" : task.kind == TaskKind::regression ? "spearman" : "f1";
    return task;
}

std::vector<std::string_view> roles_of(TaskKind kind) {
    switch (kind) {
        case TaskKind::classification:
        case TaskKind::regression:
            return {"text", "pair", "label"};
        case TaskKind::tagging:
            return {"text", "label"};
        case TaskKind::answering:
            return {"text", "context", "id", "answer", "begin"};
        case TaskKind::choice:
            return {"text", "prefix", "choices", "label"};
    }
    return {};
}

std::string lower_ascii(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    return result;
}

bool unnamed(const std::vector<std::string>& labels) {
    for (size_t i = 0; i < labels.size(); ++i)
        if (labels[i] != fmt::format("LABEL_{}", i)) return false;
    return true;
}

std::string listed(const std::vector<std::string>& labels) {
    constexpr size_t most = 20;
    const std::span<const std::string> first(labels.data(), std::min(most, labels.size()));
    return fmt::format("{}{}", fmt::join(first, ", "), labels.size() > most ? ", ..." : "");
}

}  // namespace

Columns parse_columns(std::string_view text) {
    Columns columns;
    while (!text.empty()) {
        const std::string_view entry = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), entry.size() + 1));
        const size_t equals = entry.find('=');
        if (equals == std::string_view::npos || equals == 0 || equals + 1 == entry.size())
            fail(ErrorCode::invalid_argument, "columns '{}': it must read ROLE=NAME,ROLE=NAME+NAME",
                 utf8::printable(entry));
        std::vector<std::string>& names = columns[std::string(entry.substr(0, equals))];
        for (std::string_view rest = entry.substr(equals + 1); !rest.empty();) {
            const std::string_view name = rest.substr(0, rest.find('+'));
            rest.remove_prefix(std::min(rest.size(), name.size() + 1));
            names.emplace_back(name);
        }
    }
    return columns;
}

std::vector<std::string> task_names() {
    std::vector<std::string> names;
    for (const GlueTask& glue : glue_tasks()) names.emplace_back(glue.name);
    names.insert(names.end(), other_tasks.begin(), other_tasks.end());
    return names;
}

Task make_task(std::string_view name, const Columns& columns) {
    const auto known = task_names();
    if (std::ranges::find(known, name) == known.end())
        fail(ErrorCode::invalid_argument, "task '{}' is unknown; there are {}", utf8::printable(name),
             fmt::join(known, ", "));
    const auto glue = std::ranges::find(glue_tasks(), name, &GlueTask::name);
    Task task = glue != glue_tasks().end() ? glue_task(*glue) : other_task(name);
    const bool generic = !task.glue && !task.squad && !task.conll && name != "swag";
    if (!columns.empty() && !generic)
        fail(ErrorCode::invalid_argument, "task {} has its own columns; a generic task ({}) takes others",
             name, "classification, regression, tagging, answering, choice");
    const auto roles = roles_of(task.kind);
    for (const auto& [role, names] : columns) {
        if (std::ranges::find(roles, role) == roles.end())
            fail(ErrorCode::invalid_argument, "columns: task {} has {}, not '{}'", name,
                 fmt::join(roles, ", "), utf8::printable(role));
        if (role != "choices" && names.size() != 1)
            fail(ErrorCode::invalid_argument, "columns: {} is one column, not {}", role, names.size());
    }
    for (const auto& [role, names] : columns) task.columns[role] = names;
    return task;
}

Head Task::head() const {
    switch (kind) {
        case TaskKind::tagging:
            return Head::token_classification;
        case TaskKind::answering:
            return Head::question_answering;
        case TaskKind::choice:
            return Head::multiple_choice;
        default:
            return Head::sequence_classification;
    }
}

std::string Task::problem_type() const {
    return kind == TaskKind::classification ? "single_label_classification"
           : kind == TaskKind::regression   ? "regression"
                                            : "";
}

uint32_t Task::outputs() const {
    return kind == TaskKind::regression || kind == TaskKind::choice ? 1
           : kind == TaskKind::answering                            ? 2
                                                                    : uint32_t(labels.size());
}

uint32_t Task::label_index(std::string_view label, std::string_view where) const {
    const auto& spelled = label_values.empty() ? labels : label_values;
    const auto found = std::ranges::find(spelled, label);
    if (found == spelled.end())
        fail(ErrorCode::invalid_input, "{}: the label is '{}', which is none of {}", where,
             utf8::printable(label), listed(spelled));
    return uint32_t(found - spelled.begin());
}

void Task::use_labels(const std::vector<std::string>& model_labels) {
    if (kind != TaskKind::classification && kind != TaskKind::tagging) return;
    if (labels.empty()) {
        labels = model_labels;
        label_values.clear();
        if (unnamed(labels))
            for (size_t i = 0; i < labels.size(); ++i) label_values.push_back(std::to_string(i));
        return;
    }
    if (unnamed(model_labels) && model_labels.size() == labels.size()) return;
    std::vector<std::string> values;
    for (const std::string& wanted : model_labels) {
        const auto found = std::ranges::find(labels, lower_ascii(wanted), lower_ascii);
        if (found != labels.end())
            values.push_back(label_values.empty() ? *found : label_values[size_t(found - labels.begin())]);
    }
    if (values.size() != model_labels.size() || values.size() != labels.size())
        fail(ErrorCode::invalid_input, "the model's labels ({}) are not those of task {} ({})",
             listed(model_labels), name, listed(labels));
    labels = model_labels;
    label_values = values;
}

Config trained_config(const Config& pretrained, const Task& task) {
    Config config = pretrained;
    config.architectures = {std::string(architecture_of(task.head()))};
    config.problem_type = task.problem_type();
    config.labels = task.labels;
    for (uint32_t i = 0; config.labels.size() < task.outputs(); ++i)
        config.labels.push_back(fmt::format("LABEL_{}", i));
    return config;
}

}  // namespace vkbert
