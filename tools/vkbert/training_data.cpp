#include "tools/vkbert/training_data.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "runtime/error.hpp"
#include "tools/vkbert/progress.hpp"

namespace vkbert::tools {

void add_task_options(CLI::App& command, TaskOptions& options) {
    command
        .add_option("--task", options.task, "What the files are: a data set of the paper, or a kind of task")
        ->required()
        ->check(CLI::IsMember(task_names()));
    command
        .add_option("--columns", options.columns,
                    "Generic tasks: names or numbers of columns by role, as text=sentence,label=polarity")
        ->type_name("ROLE=NAME,...");
    command
        .add_option("--max-length", options.max_length,
                    "Tokens of a sequence at most (default: 128; answering: 384)")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command
        .add_option("--doc-stride", options.doc_stride, "Answering: tokens that neighbouring windows share")
        ->type_name("N")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
}

Task task_of(const TaskOptions& options) {
    return make_task(options.task, options.columns.empty() ? Columns{} : parse_columns(options.columns));
}

Dataset encode(const GlobalOptions& global, const Task& task, Records records, const TaskOptions& options,
               const std::filesystem::path& folder, const Config& config, bool for_scoring) {
    ExampleOptions example;
    example.max_length = options.max_length
                             ? options.max_length
                             : std::min(task.default_max_length(), config.max_position_embeddings);
    if (example.max_length > config.max_position_embeddings)
        fail(ErrorCode::invalid_argument, "--max-length: {} tokens, but the model has {} positions",
             example.max_length, config.max_position_embeddings);
    example.doc_stride = std::min(options.doc_stride, example.max_length / 3);
    example.for_scoring = for_scoring;
    const std::string name = records.name;
    const Tokenizer tokenizer = Tokenizer::from_folder(folder);
    Dataset data = encode_records(task, std::move(records), tokenizer, example);
    data.check_fits(config);
    if (data.skipped)
        message(global, fmt::format("{}: {} records with a wrong number of columns were left out", name,
                                    data.skipped));
    if (global.verbose)
        message(global, fmt::format("{}: {} records, {} of them cut at {} tokens", name, data.record_count,
                                    data.truncated, example.max_length));
    return data;
}

Scores score(Evaluation& evaluation, const Task& task, const Dataset& data, bool quiet) {
    Scorer scorer(task, data);
    Progress progress(quiet, "evaluate", Progress::Unit::count, data.examples.size(), "examples");
    evaluation.run([&](uint32_t example, std::span<const float> logits) {
        scorer.add(example, logits);
        progress.advance(1);
    });
    Scores scores;
    scores.values = scorer.metrics();
    scores.main = scorer.main_metric(scores.values);
    scores.confusion = scorer.confusion();
    return scores;
}

void write_metrics(JsonLine& line, const MetricValues& values) {
    for (const auto& [name, value] : values) line.field(name, value);
}

}  // namespace vkbert::tools
