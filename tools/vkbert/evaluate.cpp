// vkbert evaluate: the official metrics of a task for a fine-tuned model.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "bert/checkpoint.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/training_data.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

namespace {

struct EvaluateOptions {
    TaskOptions task;
    std::string data, predictions;
};

void evaluate(const GlobalOptions& global, const EvaluateOptions& options) {
    Task task = task_of(options.task);
    LoadedModel loaded(global, {task.head()});
    Records records = read_records(task, options.data);
    if (!task.labels.empty() || !loaded.config().labels.empty()) task.use_labels(loaded.config().labels);
    const Dataset data =
        encode(global, task, std::move(records), options.task, loaded.folder(), loaded.config(), true);
    EvaluationOptions sizes;
    sizes.kernels = parse_kernel_choices(global.kernels);
    sizes.tuning = stored_tuning(global, loaded.device().capabilities());
    Evaluation evaluation(loaded.model(), data.examples, sizes);
    Scorer scorer(task, data);
    evaluation.run([&](uint32_t example, std::span<const float> logits) { scorer.add(example, logits); });
    if (!options.predictions.empty()) {
        AtomicFile file(options.predictions);
        file.write(scorer.predictions());
        file.commit();
    }
    ResultWriter output;
    JsonLine line;
    write_metrics(line, scorer.metrics());
    output.line(line);
    output.finish();
}

}  // namespace

void add_evaluate_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("evaluate", "Score a fine-tuned model on a labelled file");
    auto options = std::make_shared<EvaluateOptions>();
    add_task_options(*command, options->task);
    command->add_option("--data", options->data, "The labelled file")->type_name("FILE")->required();
    command
        ->add_option("--predictions", options->predictions,
                     "Write what was predicted to this file (answering: SQuAD's format; others one JSON "
                     "object a line)")
        ->type_name("FILE");
    command->footer(R"(Example:
  vkbert evaluate --model sst2 --task sst2 --data SST-2/dev.tsv
  {"accuracy":0.9151})");
    command->callback(
        [&context, options] { context.run = [&context, options] { evaluate(context.options, *options); }; });
}

}  // namespace vkbert::tools
