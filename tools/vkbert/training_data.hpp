// What finetune and evaluate share: a task's files encoded for a model, and scores of the model on them.
#pragma once

#include <filesystem>
#include <string>

#include "bert/evaluation.hpp"
#include "bert/tasks/dataset.hpp"
#include "bert/tasks/scorer.hpp"
#include "bert/tasks/task.hpp"
#include "tools/vkbert/common.hpp"
#include "tools/vkbert/output.hpp"

namespace CLI {
class App;
}

namespace vkbert::tools {

struct TaskOptions {
    std::string task;
    std::string columns;
    uint32_t max_length = 0;  // 0: the task's
    uint32_t doc_stride = 128;
};

void add_task_options(CLI::App& command, TaskOptions& options);

/// The task with its columns. Errors: invalid_argument.
Task task_of(const TaskOptions& options);

/// Encodes records for a model in `folder`. Errors (invalid_input) name file and line.
Dataset encode(const GlobalOptions& global, const Task& task, Records records, const TaskOptions& options,
               const std::filesystem::path& folder, const Config& config, bool for_scoring);

/// The scores of a model on a data set that was encoded for scoring.
struct Scores {
    MetricValues values;
    double main = 0;  // higher is better
    std::vector<uint64_t> confusion;
};
Scores score(Evaluation& evaluation, const Task& task, const Dataset& data, bool quiet);

/// {"accuracy":0.91,...} as fields of a line.
void write_metrics(JsonLine& line, const MetricValues& values);

}  // namespace vkbert::tools
