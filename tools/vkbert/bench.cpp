// vkbert bench: how fast a model runs, against what the device can do; or one kernel (bench_kernels.hpp).
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>
#include <memory>
#include <random>

#include "bert/checkpoint.hpp"
#include "bert/trainer.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"
#include "tools/vkbert/bench_kernels.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/output.hpp"
#include "tools/vkbert/profile.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

namespace {

struct BenchOptions {
    std::string kernel, shape = "base";
    std::vector<std::string> lengths_files;
    uint32_t batch = 8, length = 128, repeat = 5;
    std::vector<uint32_t> rows;
    bool batch_given = false, json = false, train = false;  // batch_given: --batch or --length
};

/// Kernels are timed on at most so many tokens or rows, which no number in a plan overflows at.
constexpr uint32_t most_rows = 1 << 20;

/// One number a line.
std::vector<uint32_t> read_lengths(const std::string& path) {
    const std::string text = read_text_file(path, 64 << 20);
    std::vector<uint32_t> lengths;
    const char *at = text.data(), *const end = at + text.size();
    for (size_t line = 1; at < end; ++line) {
        const char* stop = std::find(at, end, '\n');
        uint32_t length = 0;
        const char* digits_end = stop > at && stop[-1] == '\r' ? stop - 1 : stop;
        const auto [rest, error] = std::from_chars(at, digits_end, length);
        if (error != std::errc() || rest != digits_end || length == 0)
            fail(ErrorCode::invalid_input, "{}:{}: is no length; each line must be a number above 0", path,
                 line);
        lengths.push_back(length);
        at = stop + (stop < end);
    }
    if (lengths.empty()) fail(ErrorCode::invalid_input, "{}: has no lengths", path);
    return lengths;
}

Batch random_batch(const Config& config, const std::vector<uint32_t>& lengths, uint64_t seed) {
    std::mt19937_64 random(seed);
    Batch batch;
    for (const uint32_t length : lengths) {
        if (length > config.max_position_embeddings)
            fail(ErrorCode::invalid_argument, "a sequence of {} tokens, but the model has {} positions",
                 length, config.max_position_embeddings);
        std::vector<uint32_t> ids(length);
        for (uint32_t& id : ids) id = static_cast<uint32_t>(random() % config.vocab_size);
        batch.add(ids);
    }
    return batch;
}

/// Multiplications and additions of the encoder on these sequences.
double encoder_flops(const Config& c, const Batch& batch) {
    const double H = c.hidden_size, F = c.intermediate_size;
    double pairs = 0;
    for (uint32_t s = 0; s < batch.sequences(); ++s) {
        const double length = batch.offsets[s + 1] - batch.offsets[s];
        pairs += length * length;
    }
    return c.num_hidden_layers * (batch.tokens() * (8 * H * H + 4 * H * F) + 4 * H * pairs);
}

/// Of one batch.
struct Measured {
    std::vector<double> steps;  // seconds of each, in order
    double flops = 0;
    std::vector<double> host_seconds;  // of each training step: while the device waits
    uint32_t tokens = 0, sequences = 0;
    uint64_t peak_bytes = 0;
    double submits = 0;                           // calls of vkQueueSubmit a step
    size_t dispatches = 0, barriers = 0;          // of the plan: a training step's optimizer left out
    std::map<std::string, std::string> variants;  // of each op, the one that was used most

    double median() const { return median_of(steps); }
    double host_median() const { return median_of(host_seconds); }

  private:
    static double median_of(std::vector<double> seconds) {
        std::ranges::sort(seconds);
        return seconds[seconds.size() / 2];
    }
};

class Bench {
  public:
    Bench(const GlobalOptions& global, const BenchOptions& options)
        : global_(global), options_(options), device_(open_device(global)) {
        ModelOptions model = inference_options(global);
        if (options.train) {
            model.for_inference = false;
            model.head = Head::sequence_classification;
            model.missing_head = MissingHead::initialise;
        }
        if (global.model.empty()) {
            model_ = Model::random(*device_, config_of_shape(options.shape), global.seed, model);
        } else {
            const auto folder = model_folder(global.model);
            model_ = Model::load(*device_, read_config(folder), Checkpoint::open(folder), model);
        }
    }

    void run() {
        std::vector<Batch> batches;
        const auto add = [&](const std::vector<uint32_t>& lengths) {
            batches.push_back(random_batch(model_->config(), lengths, global_.seed));
            most_tokens_ = std::max(most_tokens_, batches.back().tokens());
            most_sequences_ = std::max(most_sequences_, batches.back().sequences());
        };
        for (const std::string& path : options_.lengths_files) add(read_lengths(path));
        if (batches.empty()) add(std::vector<uint32_t>(options_.batch, options_.length));
        const std::vector<Measured> all =
            options_.train ? measure_training(batches) : measure_forward(batches);
        ceilings_.bytes_per_second = measure_copy_bandwidth(*device_);
        ceilings_.flops_per_second = measure_fma_rate(*device_);
        ResultWriter output;
        for (const Measured& m : all)
            if (options_.json)
                write_json(output, m);
            else
                output.write(text(m));
        output.finish();
        if (global_.profile) print_profile(global_, *device_, profile_);
    }

  private:
    /// The batches take turns, so that a slow moment of the machine falls on all of them: step(m, i) is one
    /// step of number i. The first two turns warm up.
    std::vector<Measured> time_steps(const std::vector<Batch>& batches,
                                     const std::function<void(Measured&, size_t)>& step) const {
        std::vector<Measured> all(batches.size());
        std::vector<uint64_t> submits(batches.size());
        for (uint32_t turn = 0; turn < options_.repeat + 2; ++turn)
            for (size_t i = 0; i < batches.size(); ++i) {
                Measured m;
                const uint64_t submits_before = device_->submits();
                const auto begin = std::chrono::steady_clock::now();
                step(m, i);
                const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
                if (turn < 2) continue;
                all[i].steps.push_back(time.count());
                std::ranges::move(m.host_seconds, std::back_inserter(all[i].host_seconds));
                submits[i] += device_->submits() - submits_before;
            }
        for (size_t i = 0; i < batches.size(); ++i) {
            Measured& m = all[i];
            m.tokens = batches[i].tokens(), m.sequences = batches[i].sequences();
            m.flops = (options_.train ? 3 : 1) * encoder_flops(model_->config(), batches[i]);
            m.submits = double(submits[i]) / options_.repeat;
            m.peak_bytes = device_->peak_allocated_bytes();
        }
        return all;
    }

    /// Input in, one run, pooled vectors out.
    std::vector<Measured> measure_forward(const std::vector<Batch>& batches) {
        SessionOptions options;
        options.output = vkbert::Output::sentence;
        options.max_tokens = most_tokens_, options.max_sequences = most_sequences_;
        options.kernels = parse_kernel_choices(global_.kernels);
        options.tuning = stored_tuning(global_, device_->capabilities());
        options.profile = global_.profile;
        Session session(*model_, options);
        model_->pipelines().save();
        std::vector<Measured> all = time_steps(batches, [&](Measured&, size_t i) {
            session.set_input(batches[i]);
            session.run();
            session.read();
            if (global_.profile) profile_.add(session.recording().times());
        });
        for (Measured& m : all) describe(m, session.plan());
        return all;
    }

    /// What Trainer takes: of examples that follow each other, those of the batch.
    static ExampleBatch append_examples(const Config& config, const Batch& batch,
                                        std::vector<Example>& examples) {
        ExampleBatch step;
        step.micro_batches.emplace_back();
        for (uint32_t s = 0; s < batch.sequences(); ++s) {
            const auto at = [&](const std::vector<uint32_t>& v, uint32_t i) {
                return v.begin() + batch.offsets[i];
            };
            step.micro_batches[0].push_back(uint32_t(examples.size()));
            Example& example = examples.emplace_back();
            example.sequences = {
                {{at(batch.ids, s), at(batch.ids, s + 1)}, {at(batch.types, s), at(batch.types, s + 1)}}};
            example.label = ClassLabel{s % config.num_labels()};
        }
        return step;
    }

    /// Forward, backward and optimizer on one micro-batch, with the model's dropout.
    std::vector<Measured> measure_training(const std::vector<Batch>& batches) {
        const Config& config = model_->config();
        std::vector<Example> examples;
        std::vector<ExampleBatch> steps;
        for (const Batch& batch : batches) steps.push_back(append_examples(config, batch, examples));
        TrainerOptions options;
        options.pass.max_tokens = most_tokens_, options.pass.max_sequences = most_sequences_;
        options.pass.hidden_dropout = config.hidden_dropout_prob;
        options.pass.attention_dropout = config.attention_probs_dropout_prob;
        options.pass.classifier_dropout = config.classifier_dropout.value_or(config.hidden_dropout_prob);
        options.pass.kernels = parse_kernel_choices(global_.kernels);
        options.pass.tuning = stored_tuning(global_, device_->capabilities());
        options.pass.profile = options.optimizer.profile = global_.profile;
        Trainer trainer(*model_, options);
        model_->pipelines().save();
        std::vector<Measured> all = time_steps(batches, [&](Measured& m, size_t i) {
            m.host_seconds.push_back(trainer.step(examples, steps[i], 1e-5).host_seconds);
            if (global_.profile) add_step(profile_, trainer);
        });
        for (Measured& m : all) describe(m, trainer.pass().plan());
        return all;
    }

    static void describe(Measured& m, const Plan& plan) {
        m.dispatches = plan.dispatches().size(), m.barriers = plan.barriers();
        m.variants = variants(plan);
    }

    static std::map<std::string, std::string> variants(const Plan& plan) {
        std::map<std::string, std::map<std::string, size_t>> uses;
        for (const Dispatch& dispatch : plan.dispatches())
            ++uses[std::string(dispatch.kernel->op)][std::string(dispatch.kernel->name)];
        std::map<std::string, std::string> result;
        for (const auto& [op, names] : uses)
            result[op] =
                std::ranges::max_element(names, {}, [](const auto& use) { return use.second; })->first;
        return result;
    }

    void write_json(ResultWriter& output, const Measured& m) const {
        const Capabilities& c = device_->capabilities();
        JsonLine line;
        const double seconds = m.median();
        line.field("tokens_per_second", m.tokens / seconds).field("seconds_per_step", seconds);
        line.field("fastest_step", std::ranges::min(m.steps)).key("steps").begin_array();
        for (const double step : m.steps) line.value(step);
        line.end_array().field("tokens", m.tokens).field("sequences", m.sequences);
        if (options_.train) line.field("host_seconds", m.host_median());
        line.field("flops", m.flops).field("flops_per_second", m.flops / seconds);
        line.field("ceiling_flops_per_second", ceilings_.flops_per_second);
        line.field("ceiling_bytes_per_second", ceilings_.bytes_per_second);
        line.field("dispatches", m.dispatches).field("barriers", m.barriers);
        line.field("submits", m.submits);
        line.field("peak_memory", m.peak_bytes).field("device", c.device_name);
        line.field("driver", c.driver_name + " " + c.driver_info).key("variants").begin_object();
        for (const auto& [op, variant] : m.variants) line.field(op, variant);
        line.end_object();
        output.line(line);
    }

    std::string text(const Measured& m) const {
        const double seconds = m.median(), rate = m.flops / seconds;
        std::string result = fmt::format(
            "{} on {}\n{} sequences, {} tokens: {:.4g} s a step, {:.4g} tokens/s\n"
            "{:.4g} GFLOP/s, {:.1f}% of the {:.4g} measured in registers; copies run at {:.4g} GB/s\n"
            "{} dispatches, {} barriers, {:.3g} submits; peak device memory {}\n",
            global_.model.empty() ? options_.shape : global_.model, device_->capabilities().device_name,
            m.sequences, m.tokens, seconds, m.tokens / seconds, rate * 1e-9,
            100 * rate / ceilings_.flops_per_second, ceilings_.flops_per_second * 1e-9,
            ceilings_.bytes_per_second * 1e-9, m.dispatches, m.barriers, m.submits,
            human_bytes(static_cast<double>(m.peak_bytes)));
        for (const auto& [op, variant] : m.variants) result += fmt::format("  {} {}\n", op, variant);
        return result;
    }

    const GlobalOptions& global_;
    const BenchOptions& options_;
    std::unique_ptr<Device> device_;
    std::unique_ptr<Model> model_;
    uint32_t most_tokens_ = 0, most_sequences_ = 0;  // of the batches
    Ceilings ceilings_;
    Profile profile_;
};

}  // namespace

/// "N,K", or nothing when it is no two numbers.
static std::optional<BenchShapes::Weights> weights_of(const std::string& text) {
    BenchShapes::Weights weights{};
    const char *const begin = text.data(), *const end = begin + text.size();
    const auto [comma, first] = std::from_chars(begin, end, weights.n);
    if (first != std::errc() || comma == end || *comma != ',') return {};
    const auto [rest, second] = std::from_chars(comma + 1, end, weights.k);
    if (second != std::errc() || rest != end || weights.n == 0 || weights.k == 0) return {};
    return weights;
}

static void run_kernel(const GlobalOptions& global, const BenchOptions& options) {
    find_bench_kernel(options.kernel);
    if (!options.lengths_files.empty())
        fail(ErrorCode::invalid_argument, "--lengths: is for models; kernels take --batch and --length");
    KernelBenchOptions bench;
    bench.kernel = options.kernel, bench.repeat = options.repeat, bench.json = options.json;
    BenchShapes& shapes = bench.shapes;
    shapes.type = precision_of(global) == Precision::fp16 ? Type::fp16 : Type::fp32;
    shapes.rows = options.rows;
    if (options.kernel == "matmul" || options.kernel == "matmul-strips")
        shapes.weights = weights_of(options.shape);
    if (!global.model.empty())
        shapes.config = read_config(model_folder(global.model));
    else if (!shapes.weights)
        shapes.config = config_of_shape(options.shape);
    if (options.batch_given) {
        const uint64_t tokens = uint64_t(options.batch) * options.length;
        if (tokens > most_rows || tokens * options.length > UINT32_MAX)
            fail(ErrorCode::invalid_argument, "--batch, --length: {} sequences of {} tokens are too many",
                 options.batch, options.length);
        shapes.batch = {options.batch, options.length};
    }
    bench_kernel(global, bench);
}

static void run_model(const GlobalOptions& global, const BenchOptions& options) {
    if (!options.rows.empty())
        fail(ErrorCode::invalid_argument, "--rows: is for a kernel; models take --batch and --length");
    Bench(global, options).run();
}

void add_bench_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("bench", "Measure how fast a model or a kernel runs");
    auto options = std::make_shared<BenchOptions>();
    std::string names;
    for (const BenchKernel& kernel : bench_kernels())
        names += (names.empty() ? "" : ", ") + std::string(kernel.name);
    command->add_option("KERNEL", options->kernel,
                        "Time every variant of this kernel in place of a model: " + names);
    command
        ->add_option("--shape", options->shape,
                     "Without --model: base, large, tiny, or L,H,A,F; with matmul also N,K of the weights")
        ->type_name("SHAPE")
        ->capture_default_str();
    const auto number = [&](const char* name, uint32_t& value, const char* help) {
        command->add_option(name, value, help)
            ->type_name("N")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
    };
    number("--batch", options->batch, "Sequences");
    number("--length", options->length, "Tokens of each");
    number("--repeat", options->repeat, "Timed steps, or runs of each variant; the median counts");
    command->add_option("--rows", options->rows, "With KERNEL: tokens, or rows of logits; each is timed")
        ->type_name("N,...")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(1u, most_rows));
    command
        ->add_option("--lengths", options->lengths_files,
                     "Read the sequences' lengths from this file, one a line; given more than once, the "
                     "batches take turns, and each has a result")
        ->type_name("FILE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command->add_flag("--train", options->train, "Training steps: forward, backward and optimizer");
    command->add_flag("--json", options->json, "JSON instead of text, an object a line");
    command->footer(R"(Examples:
  vkbert bench --shape base --batch 8 --length 128 --json
  {"tokens_per_second":812.1,"seconds_per_step":1.261,...}
  vkbert bench matmul --rows 1024 --precision fp16
  vkbert bench attention --batch 8 --length 128 --json
  {"op":"attention_forward","case":"8 x 128 tokens, 12 heads of 64","variant":"tiled","chosen":true,...}

Without KERNEL a model's forward pass is timed, or a whole training step. The variants of a kernel take turns, so that a slow moment of
the machine falls on all of them; --kernel OP=VARIANT times only that one.)");
    command->callback([&context, options, command] {
        options->batch_given = command->count("--batch") + command->count("--length") > 0;
        context.run = [&context, options] {
            (options->kernel.empty() ? run_model : run_kernel)(context.options, *options);
        };
    });
}

}  // namespace vkbert::tools
