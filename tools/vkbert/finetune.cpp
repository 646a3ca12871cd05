// vkbert finetune: one output layer on top of a pre-trained encoder, all of it trained for a task.
#include "tools/vkbert/finetune.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "tools/vkbert/commands.hpp"

namespace vkbert::tools {

namespace {

void add_data_options(CLI::App& command, FinetuneOptions& o) {
    add_task_options(command, o.task);
    command.add_option("--train", o.train, "The labelled file to learn from")->type_name("FILE")->required();
    command.add_option("--eval", o.eval, "The labelled file that decides which weights are kept")
        ->type_name("FILE");
    command.add_option("--output", o.output, "The folder to make; transformers opens it as it is")
        ->type_name("DIR")
        ->required();
    command.add_flag(
        "--resume", o.resume,
        "Go on from the newest checkpoint in --output, bit for bit; from the start when there is none");
    command.add_option("--save-every", o.save_every, "Steps between checkpoints (default: an epoch)")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command.add_option("--eval-every", o.eval_every, "Steps between evaluations (default: an epoch)")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command.add_flag("--eval-before", o.eval_before, "Evaluate before the first step, too");
    command.add_option("--report", o.report, "Write one self-contained HTML page about the run")
        ->type_name("FILE.html");
    command.add_option("--patience", o.patience, "Stop after this many evaluations without a better one")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
}

void add_learning_options(CLI::App& command, FinetuneOptions& o) {
    const auto number = [&](const char* name, auto& value, const char* help) {
        return command.add_option(name, value, help)
            ->type_name("X")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
    };
    number("--epochs", o.epochs, "Passes over the data")->check(CLI::PositiveNumber);
    command.add_option("--max-steps", o.max_steps, "End after this many optimizer steps")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    number("--learning-rate", o.learning_rate, "Its peak");
    number("--warmup", o.warmup, "Steps until the peak; below 1 a share of all steps");
    command.add_option("--schedule", o.schedule, "How the rate falls from there")
        ->check(CLI::IsMember({"linear", "bert", "constant"}))
        ->capture_default_str();
    command
        .add_option("--optimizer", o.optimizer,
                    "PyTorch's AdamW, or the paper's Adam without bias correction")
        ->check(CLI::IsMember({"adamw", "bert-adam"}))
        ->capture_default_str();
    number("--weight-decay", o.weight_decay, "Not of biases and layer normalisation");
    number("--max-grad-norm", o.max_grad_norm, "Longer gradients are shortened to it; 0: never");
    number("--layer-decay", o.layer_decay, "Each layer's rate is this times that of the layer above")
        ->check(CLI::Range(0.0, 1.0));
    command.add_option("--dropout", o.dropout, "In place of the model's own probabilities")
        ->type_name("P")
        ->check(CLI::Range(0.0, 0.9));
    command.add_option("--freeze", o.freeze, "Train not: 1 the embeddings, 1 + N the first N layers too")
        ->type_name("N");
}

void add_size_options(CLI::App& command, FinetuneOptions& o) {
    const auto count = [&](const char* name, uint32_t& value, const char* help) {
        command.add_option(name, value, help)
            ->type_name("N")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
    };
    count("--batch-size", o.batch_size, "Examples of one optimizer step");
    count("--accumulate", o.accumulate,
          "Micro-batches that a batch is split into: less memory, the same gradient");
    command.add_flag("--recompute", o.recompute,
                     "Compute layers again on the way back: less memory, a third more work");
}

}  // namespace

void add_finetune_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("finetune", "Train a pre-trained model for a task");
    auto options = std::make_shared<FinetuneOptions>();
    add_data_options(*command, *options);
    add_learning_options(*command, *options);
    add_size_options(*command, *options);
    command->footer(R"(Example:
  vkbert finetune --model google-bert/bert-base-uncased --task sst2 --train SST-2/train.tsv --eval SST-2/dev.tsv --output sst2
  vkbert classify --model sst2 "A gem of a movie.")");
    command->callback([&context, options] {
        context.run = [&context, options] { FinetuneRun(context.options, *options).run(); };
    });
}

}  // namespace vkbert::tools
