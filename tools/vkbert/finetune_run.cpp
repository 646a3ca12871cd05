#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>

#include "bert/checkpoint.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/finetune.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/profile.hpp"
#include "tools/vkbert/progress.hpp"
#include "tools/vkbert/report.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

namespace {

/// Tokens of the largest batch that the data can give, over the number of micro-batches asked for.
uint32_t token_budget(const std::vector<Example>& examples, uint32_t batch_size, uint32_t accumulate) {
    std::vector<uint32_t> lengths;
    for (const Example& example : examples) lengths.push_back(example.tokens());
    std::ranges::sort(lengths, std::greater<>());
    uint64_t sum = 0;
    for (size_t i = 0; i < std::min<size_t>(batch_size, lengths.size()); ++i) sum += lengths[i];
    const uint64_t share = (sum + accumulate - 1) / accumulate;
    return uint32_t(std::clamp<uint64_t>(share, lengths.front(), 1u << 16));
}

uint32_t most_sequences(const std::vector<Example>& examples, uint32_t batch_size) {
    size_t most = 1;
    for (const Example& example : examples) most = std::max(most, example.sequences.size());
    return uint32_t(most * batch_size);
}

}  // namespace

FinetuneRun::FinetuneRun(const GlobalOptions& global, const FinetuneOptions& options)
    : global_(global), options_(options), folder_(model_folder(global.model)), task_(task_of(options.task)) {
    output_ = std::make_unique<TrainingFolder>(options.output, options.resume);
    load_data();
    load_model();
    plan_steps();
    if (options_.resume && !output_->checkpoint().empty())
        resume();
    else
        output_->begin(folder_, config_);
}

FinetuneRun::~FinetuneRun() = default;

void FinetuneRun::load_data() {
    Records records = read_records(task_, options_.train);
    if (task_.labels.empty()) learn_labels(task_, records);
    config_ = trained_config(read_config(folder_), task_);
    train_ = encode(global_, task_, std::move(records), options_.task, folder_, config_, false);
    if (!options_.eval.empty())
        eval_ =
            encode(global_, task_, read_records(task_, options_.eval), options_.task, folder_, config_, true);
}

TrainerOptions FinetuneRun::trainer_options() const {
    TrainerOptions t;
    t.seed = global_.seed;
    t.pass.hidden_dropout = options_.dropout.value_or(config_.hidden_dropout_prob);
    t.pass.attention_dropout = options_.dropout.value_or(config_.attention_probs_dropout_prob);
    t.pass.classifier_dropout =
        options_.dropout.value_or(config_.classifier_dropout.value_or(config_.hidden_dropout_prob));
    t.pass.recompute = options_.recompute;
    t.pass.frozen = options_.freeze;
    t.pass.profile = t.optimizer.profile = profiles();
    t.pass.kernels = parse_kernel_choices(global_.kernels);
    t.pass.tuning = tuning_;
    t.pass.max_tokens = token_budget(train_.examples, options_.batch_size, options_.accumulate);
    t.pass.max_sequences = most_sequences(train_.examples, options_.batch_size);
    t.optimizer.kind = options_.optimizer == "bert-adam" ? OptimizerKind::bert_adam : OptimizerKind::adamw;
    if (t.optimizer.kind == OptimizerKind::bert_adam) t.optimizer.epsilon = 1e-6;
    t.optimizer.weight_decay = options_.weight_decay;
    t.optimizer.max_grad_norm = options_.max_grad_norm;
    t.optimizer.layer_decay = options_.layer_decay;
    t.optimizer.frozen = options_.freeze;
    return t;
}

EvaluationOptions FinetuneRun::evaluation_options(const TrainerOptions& trainer) const {
    EvaluationOptions options;
    options.kernels = trainer.pass.kernels, options.tuning = trainer.pass.tuning;
    options.max_tokens = std::min(options.max_tokens, trainer.pass.max_tokens);
    return options;
}

uint64_t FinetuneRun::planned_bytes(const ModelOptions& model, const TrainerOptions& trainer) const {
    const Capabilities& c = device_->capabilities();
    uint64_t bytes =
        Model::planned_bytes(c, config_, model) + Trainer::planned_bytes(c, config_, model, trainer);
    if (eval_)
        bytes += Evaluation::planned_bytes(c, config_, model, eval_->examples, evaluation_options(trainer));
    return bytes;
}

/// Smaller micro-batches, and then recomputation, until a memory limit is kept: the gradient stays the same.
void FinetuneRun::fit_memory(const ModelOptions& model, TrainerOptions& trainer) const {
    uint32_t longest = 1;
    for (const Example& example : train_.examples) longest = std::max(longest, example.tokens());
    const uint64_t limit = device_->memory_limit();
    uint64_t bytes = planned_bytes(model, trainer);
    for (; limit != 0 && bytes > limit; bytes = planned_bytes(model, trainer)) {
        if (trainer.pass.max_tokens > longest)
            trainer.pass.max_tokens = std::max(longest, trainer.pass.max_tokens * 3 / 4);
        else if (!trainer.pass.recompute)
            trainer.pass.recompute = true;
        else
            fail(ErrorCode::out_of_memory,
                 "--memory-limit: {} are needed for micro-batches of one example, even with recomputation",
                 human_bytes(double(bytes)));
    }
    if (global_.verbose)
        message(global_, fmt::format("device memory: {} bytes predicted, for micro-batches of {} tokens{}",
                                     bytes, trainer.pass.max_tokens,
                                     trainer.pass.recompute ? ", layers computed again" : ""));
}

/// A run keeps the tuning that it began with, whatever `vkbert tune` has found since: another one might add
/// up in another order, and resuming would not give the bits of a run that was not interrupted.
void FinetuneRun::choose_tuning() {
    const Capabilities& c = device_->capabilities();
    if (!options_.resume || output_->checkpoint().empty() || global_.no_tuning) {
        tuning_ = stored_tuning(global_, c);
        return;
    }
    const std::string began = output_->progress().tuning;
    const std::optional<Tuning> known = began.empty() ? Tuning() : Tuning::parse(began, c);
    tuning_ = known.value_or(Tuning());
    if (!known) message(global_, "the run began on another device, driver or build: its tuning is left out");
}

void FinetuneRun::load_model() {
    device_ = open_device(global_);
    choose_tuning();
    ModelOptions options;
    options.precision = precision_of(global_);
    options.head = task_.head();
    options.missing_head = MissingHead::initialise;
    options.seed = global_.seed;
    TrainerOptions trainer = trainer_options();
    fit_memory(options, trainer);
    const Checkpoint checkpoint = Checkpoint::open(folder_);
    model_ = Model::load(*device_, config_, checkpoint, options);
    trainer_ = std::make_unique<Trainer>(*model_, checkpoint, trainer);
    BatchOptions batches;
    batches.batch_size = options_.batch_size;
    batches.token_budget = trainer.pass.max_tokens, batches.sequence_limit = trainer.pass.max_sequences;
    batches.seed = global_.seed;
    stream_ = std::make_unique<BatchStream>(train_.examples, batches);
    if (eval_)
        evaluation_ = std::make_unique<Evaluation>(*model_, eval_->examples, evaluation_options(trainer));
    model_->pipelines().save();
}

void FinetuneRun::plan_steps() {
    rate_.peak = options_.learning_rate;
    rate_.total_steps = uint64_t(std::ceil(options_.epochs * double(stream_->batches_per_epoch())));
    if (options_.max_steps) rate_.total_steps = std::min(rate_.total_steps, options_.max_steps);
    rate_.schedule = options_.schedule == "bert"       ? Schedule::bert
                     : options_.schedule == "constant" ? Schedule::constant
                                                       : Schedule::linear;
    rate_.warmup_steps = warmup_steps(options_.warmup, rate_.total_steps, rate_.schedule);
}

/// What changes every step if it changes, as lines of "name value". How long a run is may change.
std::string FinetuneRun::settings() const {
    const FinetuneOptions& o = options_;
    return fmt::format(
        "--task {}\n--train ({} examples)\n--batch-size {}\n--accumulate {}\n--seed {}\n--optimizer {}\n"
        "--learning-rate {}\n--weight-decay {}\n--max-grad-norm {}\n--layer-decay {}\n--freeze {}\n--dropout "
        "{}\n",
        o.task.task, train_.examples.size(), o.batch_size, o.accumulate, global_.seed, o.optimizer,
        o.learning_rate, o.weight_decay, o.max_grad_norm, o.layer_decay, o.freeze,
        o.dropout ? fmt::format("{}", *o.dropout) : "of the model");
}

void FinetuneRun::resume() {
    progress_ = output_->restore(*trainer_);
    std::istringstream before(progress_.settings), now(settings());
    for (std::string then, line; std::getline(now, line);)
        if (!std::getline(before, then) || then != line)
            fail(ErrorCode::invalid_input, "--resume: the run in {} has '{}', not '{}'", options_.output,
                 then, line);
    stream_->seek(progress_.position);
    message(global_, fmt::format("resuming after step {} of {}", progress_.step, rate_.total_steps));
}

void FinetuneRun::save() {
    progress_.position = stream_->position();
    progress_.settings = settings();
    progress_.tuning = tuning_.empty() ? "" : tuning_.text(device_->capabilities());
    output_->write_checkpoint(*trainer_, progress_);
}

const Scores& FinetuneRun::score_now() {
    scores_ = score(*evaluation_, task_, *eval_, global_.quiet);
    return scores_;
}

void FinetuneRun::show(const Scores& scores) {
    JsonLine line;
    line.field("step", progress_.step).key("eval").begin_object();
    write_metrics(line, scores.values);
    line.end_object();
    output_->write_metrics(line.take());
    std::string text;
    for (const auto& [name, value] : scores.values) text += fmt::format(" {} {:.4f}", name, value);
    message(global_, fmt::format("step {}:{}", progress_.step, text));
}

void FinetuneRun::evaluate() {
    if (!evaluation_) {
        output_->write_model(*trainer_);
        return;
    }
    const Scores& scores = score_now();
    show(scores);
    if (progress_.best_step != 0 && scores.main <= progress_.best) {
        ++progress_.worse;
        return;
    }
    progress_.best = scores.main, progress_.best_step = progress_.step, progress_.worse = 0;
    output_->write_model(*trainer_);
}

void FinetuneRun::train_step(Progress& bar) {
    const ExampleBatch batch = stream_->next();
    const double learning_rate = rate_.at(progress_.step);
    const auto begin = std::chrono::steady_clock::now();
    const StepReport done = trainer_->step(train_.examples, batch, learning_rate);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const double rate = double(done.tokens) / seconds.count();
    ++progress_.step;
    if (profiles()) add_step(profile_, *trainer_);
    check_finite(done);
    bar.note(fmt::format("loss {:.4f}  {:.4g} tokens/s  {}", done.loss, rate,
                         human_bytes(double(device_->allocated_bytes()))));
    bar.set(progress_.step);
    JsonLine line;
    line.field("step", progress_.step).field("loss", done.loss).field("learning_rate", learning_rate);
    line.field("grad_norm", done.gradient_norm).field("tokens_per_second", rate);
    if (done.skipped) line.field("skipped", true);
    output_->write_metrics(line.take());
}

/// A gradient that is not finite is left out, and in fp16 the loss scale is halved; where that cannot help,
/// or has not helped, all steps to come would be left out too.
void FinetuneRun::check_finite(const StepReport& done) {
    constexpr uint32_t most_halvings = 24;  // from 65,536 far below 1
    skipped_in_a_row_ = done.skipped ? skipped_in_a_row_ + 1 : 0;
    const uint32_t most = model_->precision() == Precision::fp16 ? most_halvings : 0;
    if (std::isfinite(done.loss) && skipped_in_a_row_ <= most) return;
    const char* const what = std::isfinite(done.loss) ? "gradient" : "loss";
    fail(ErrorCode::failed,
         "step {}: the {} is not finite (loss {:.4g}): try a lower --learning-rate; {} has what was reached",
         progress_.step, what, done.loss, options_.output);
}

void FinetuneRun::run() {
    Progress bar(global_.quiet, "finetune", Progress::Unit::count, rate_.total_steps, "steps");
    bar.start_at(progress_.step);
    if (options_.eval_before && evaluation_ && progress_.step == 0) show(score_now());
    const uint64_t epoch = stream_->batches_per_epoch();
    while (progress_.step < rate_.total_steps &&
           !(options_.patience && progress_.worse >= options_.patience)) {
        train_step(bar);
        const bool last = progress_.step == rate_.total_steps;
        if (last || progress_.step % (options_.eval_every ? options_.eval_every : epoch) == 0) evaluate();
        if (last || progress_.step % (options_.save_every ? options_.save_every : epoch) == 0) save();
    }
    if (global_.verbose)
        message(global_,
                fmt::format("device memory: {} bytes at most were used", device_->peak_allocated_bytes()));
    if (global_.profile) print_profile(global_, *device_, profile_);
    if (!options_.report.empty()) report();
}

void FinetuneRun::report() const {
    const auto text = [](auto value) { return fmt::format("{}", value); };
    ReportContent page;
    page.title = fmt::format("vkbert finetune: {} on {}", task_.name, folder_.filename().string());
    page.settings = {{"device", device_->capabilities().device_name},
                     {"training examples", text(train_.examples.size())},
                     {"batch size", text(options_.batch_size)},
                     {"epochs", text(options_.epochs)},
                     {"learning rate", text(options_.learning_rate)},
                     {"optimizer", options_.optimizer},
                     {"seed", text(global_.seed)},
                     {"steps", text(progress_.step)}};
    if (progress_.best_step)
        page.settings.emplace_back(fmt::format("best {}", task_.main_metric),
                                   fmt::format("{:.4f} after step {}", progress_.best, progress_.best_step));
    page.metrics = std::filesystem::path(options_.output) / "metrics.jsonl";
    page.labels = task_.labels;
    page.confusion = scores_.confusion;
    page.profile = profile_;
    write_report(options_.report, page);
}

}  // namespace vkbert::tools
