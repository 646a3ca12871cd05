// vkbert tune: which kernel variant is the fastest on this device, at a model's shapes.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <tuple>

#include "runtime/error.hpp"
#include "runtime/ops/matmul.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/kernel_timing.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/output.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

namespace {

struct TuneOptions {
    std::string shape = "base";
    double seconds = 10;
    bool train = false, json = false;
};

// Two runs of one kernel on a busy machine differ by a percent or two.
constexpr double least_speedup = 1.03;
// What is slower than the fastest by more than this at the first sight is not looked at again.
constexpr double hopeless = 1.5, hopeless_after_two_rounds = 1.25;
constexpr size_t least_rounds = 5, most_rounds = 15;
constexpr double seconds_of_rounds = 0.1;  // short kernels get more rounds until then

/// One shape to choose for.
struct TuneCase {
    BenchCase bench;
    TunedShape shape;
};

/// What was measured of it, a call.
struct Found {
    std::string built_in, best;
    double built_in_seconds = 0, best_seconds = 0, speedup = 1;
};

/// Tokens whose neighbourhood of a factor of two either way (Tuning::find) is all that is usual: batches of
/// the commands, single texts. The middle first: it tells how long the large ones would take.
std::vector<uint32_t> rows_of(const Capabilities& c, const Config& config, Precision precision) {
    std::vector<uint32_t> rows{128, 1024, 8192, 16};
    const uint32_t most = std::min(c.device_class == DeviceClass::cpu ? 1024u : 8192u,
                                   Session::max_tokens(c, config, precision));
    std::erase_if(rows, [&](uint32_t r) { return r > most; });
    return rows;
}

struct Linear {
    const char* name;
    BenchShapes::Weights weights;
};

/// strips: of weights that are kept so (ops::Strips).
TuneCase matmul_case(BenchShapes shapes, const Linear& linear, uint32_t rows, ops::Orientation orientation,
                     bool strips) {
    const auto [n, k] = linear.weights;
    ops::MatmulProblem problem{.m = rows, .n = n, .k = k, .orientation = orientation, .b_in_strips = strips};
    const char *kernel = strips ? "matmul-strips" : "matmul", *gradient = "";
    if (orientation == ops::Orientation::nn)
        kernel = "matmul-dx", gradient = " dX", problem.n = k, problem.k = n;
    if (orientation == ops::Orientation::tn)
        kernel = "matmul-dw", gradient = " dW", problem.m = n, problem.n = k, problem.k = rows;
    shapes.rows = {rows}, shapes.weights = linear.weights;
    TuneCase result{find_bench_kernel(kernel).cases(shapes).front(), ops::tuned_shape(problem)};
    result.bench.title = fmt::format("{}{} ({} x {}), {} tokens", linear.name, gradient, n, k, rows);
    return result;
}

/// Short and long sequences in one: the choice knows the head's size alone.
TuneCase attention_case(BenchShapes shapes) {
    const Config& config = shapes.config;
    const uint32_t head_size = config.hidden_size / config.num_attention_heads;
    std::vector<BenchCase> parts;
    std::string lengths;
    for (const BenchBatch batch : {BenchBatch{8, 128}, BenchBatch{2, 512}}) {
        shapes.batch = {batch.sequences, std::min(batch.length, config.max_position_embeddings)};
        parts.push_back(find_bench_kernel("attention").cases(shapes).front());
        lengths += fmt::format("{}{} x {}", lengths.empty() ? "" : " and ", shapes.batch->sequences,
                               shapes.batch->length);
    }
    TuneCase result{parts.front(), {.columns = head_size}};
    result.bench.title = fmt::format("attention (heads of {}), {} tokens", head_size, lengths);
    result.bench.append = [parts](BenchScene& scene) {
        for (const BenchCase& part : parts) part.append(scene);
    };
    return result;
}

TuneCase layernorm_case(BenchShapes shapes, uint32_t rows) {
    shapes.rows = {rows};
    TuneCase result{find_bench_kernel("layernorm").cases(shapes).front(),
                    {.columns = shapes.config.hidden_size, .rows = rows}};
    result.bench.title = fmt::format("LayerNorm ({}), {} tokens", shapes.config.hidden_size, rows);
    return result;
}

/// What a pass over the model spends its time on; the first are those to be done if time is short.
std::vector<TuneCase> cases_of(const Capabilities& c, const Config& config, Precision precision, bool train) {
    BenchShapes shapes;
    shapes.config = config;
    shapes.type = precision == Precision::fp16 ? Type::fp16 : Type::fp32;
    const uint32_t H = config.hidden_size, F = config.intermediate_size;
    // The smallest first: variants that are hopeless there are not tried at the others.
    const Linear linears[] = {
        {"projection", {H, H}}, {"QKV", {3 * H, H}}, {"FFN1", {F, H}}, {"FFN2", {H, F}}};
    std::vector<ops::Orientation> orientations{ops::Orientation::nt};
    if (train) orientations.insert(orientations.end(), {ops::Orientation::nn, ops::Orientation::tn});
    std::vector<TuneCase> cases;
    for (const uint32_t rows : rows_of(c, config, precision)) {
        for (const ops::Orientation orientation : orientations)
            for (const Linear& linear : linears)
                cases.push_back(matmul_case(
                    shapes, linear, rows, orientation,
                    !train && ops::reads_strips(c, shapes.type, linear.weights.n, linear.weights.k)));
        if (cases.size() == orientations.size() * std::size(linears)) cases.push_back(attention_case(shapes));
        cases.push_back(layernorm_case(shapes, rows));
    }
    return cases;
}

double flops_of(const Plan& plan) {
    double flops = 0;
    for (const Dispatch& d : plan.dispatches())
        flops += d.work.flops + d.work.flops_per_row * d.work.extent.capacity;
    return flops;
}

using Seconds = std::vector<double>;

/// How much faster than `first`, by the medians of the rounds that both have run and by the median of what
/// each round says: the lesser, so that a slow moment of the machine decides nothing.
double speedup_of(const Seconds& variant, const Seconds& first) {
    Seconds ratios;
    for (size_t i = 0; i < variant.size(); ++i) ratios.push_back(first[i] / variant[i]);
    const Seconds same_rounds(first.begin(), first.begin() + ptrdiff_t(variant.size()));
    return std::min(times_of(ratios).median, times_of(same_rounds).median / times_of(variant).median);
}

class Tuner {
  public:
    Tuner(const GlobalOptions& global, const TuneOptions& options)
        : global_(global),
          options_(options),
          begin_(std::chrono::steady_clock::now()),
          device_(open_device(global, "")),  // most of what is compiled here is not needed again
          capabilities_(device_->capabilities()),
          pipelines_(*device_),
          path_(tuning_path(capabilities_)) {
        if (path_.empty())
            fail(ErrorCode::failed, "no place for the tuning: neither HOME nor XDG_CACHE_HOME is set");
    }

    void run(const Config& config) {
        Tuning tuning = read_tuning(path_, capabilities_).value_or(Tuning());
        const auto cases = cases_of(capabilities_, config, precision_of(global_), options_.train);
        if (!options_.json) write_header();
        size_t measured = 0;
        for (const TuneCase& c : cases) {
            const std::optional<Found> found = try_to_measure(c);
            if (!found) continue;
            ++measured;
            if (found->best == found->built_in)
                tuning.erase(c.bench.op(), c.bench.type, c.shape);
            else
                tuning.set(c.bench.op(), c.bench.type, c.shape, found->best);
            write(c, *found);
        }
        if (measured > 0) write_tuning(path_, tuning, capabilities_);
        output_.finish();
        message(global_,
                fmt::format("{} of {} shapes measured in {:.1f} s{}", measured, cases.size(), spent(),
                            measured < cases.size() ? "; the others keep their choices" : ""));
        if (measured > 0)
            message(global_, fmt::format("{}: {} measured choices", path_.string(), tuning.size()));
    }

  private:
    double spent() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }
    /// Which others use too: what they take away must not look like slowness, so the processor's time counts.
    bool on_cpu() const { return capabilities_.device_class == DeviceClass::cpu; }
    bool has_time_for(double seconds) const { return spent() + seconds < options_.seconds; }

    /// The plan's first dispatch may be of an op that packs an operand.
    static const Kernel& built_in_of(const TuneCase& c, const Plan& plan) {
        return *std::ranges::find(plan.dispatches(), c.bench.op(), [](const Dispatch& d) {
                    return d.kernel->op;
                })->kernel;
    }

    /// Those shaped for devices of this kind, and the built-in choice, which comes first.
    std::vector<const Kernel*> candidates(const TuneCase& c, const Kernel& built_in) const {
        std::vector<const Kernel*> kernels{&built_in};
        for (const Kernel& kernel : c.bench.variants)
            if (&kernel != &built_in && kernel.requirements.cpu_only == on_cpu() &&
                satisfies(capabilities_, kernel) && keeps_in_registers(capabilities_, kernel.requirements) &&
                !hopeless_.contains(name_of(c, kernel.name)))
                kernels.push_back(&kernel);
        return kernels;
    }

    /// A variant at shapes that differ in the weights alone.
    using Name = std::tuple<std::string_view, std::string_view, uint32_t, std::string>;
    static Name name_of(const TuneCase& c, std::string_view variant) {
        return {c.bench.op(), c.shape.form, c.shape.rows, std::string(variant)};
    }

    std::optional<Found> try_to_measure(const TuneCase& c) {
        try {
            return measure(c);
        } catch (const Error& e) {
            if (e.code() != ErrorCode::out_of_memory) throw;
            message(global_, fmt::format("{} passed over: {}", c.bench.title, e.what()));
            return std::nullopt;
        }
    }

    /// Nothing when there is not time enough.
    std::optional<Found> measure(const TuneCase& c) {
        BenchScene scene(capabilities_, {});
        c.bench.append(scene);
        const double flops = flops_of(scene.plan);
        // The built-in choice and another, each warmed up and run.
        const double needed = rate_ > 0 ? 2 * (least_rounds + 2) * flops / rate_ : 0;
        if (!has_time_for(needed)) return std::nullopt;
        const CaseMemory memory(*device_, scene);
        Variants variants;
        for (const Kernel* kernel : candidates(c, built_in_of(c, scene.plan))) {
            if (!has_time_for(variants.empty() ? 0 : 2 * variants.front()->first_seconds))
                return std::nullopt;
            add(variants, c, *kernel, memory);
        }
        rate_ = std::max(rate_, flops / variants.front()->first_seconds);
        for (const std::string& dropped : drop(variants, hopeless, [&](const BenchVariant& v) {
                 return on_cpu() ? v.first_processor_seconds : v.first_seconds;
             }))
            hopeless_.insert(name_of(c, dropped));
        if (!run_rounds(variants)) return std::nullopt;
        return best_of(variants);
    }

    using Variants = std::vector<std::unique_ptr<BenchVariant>>;

    void add(Variants& variants, const TuneCase& c, const Kernel& kernel, const CaseMemory& memory) {
        try {
            variants.push_back(std::make_unique<BenchVariant>(*device_, pipelines_, c.bench, kernel, memory));
        } catch (const Error& e) {  // tensors too large for it here, or a shape that it is not made for
            const bool shape = e.code() == ErrorCode::unsupported || e.code() == ErrorCode::invalid_argument;
            if (!shape || variants.empty()) throw;
        }
    }

    /// Drops what takes `factor` times as long as the fastest, but never the first; the names of those.
    template <typename SecondsOf>
    static std::vector<std::string> drop(Variants& variants, double factor, const SecondsOf& seconds) {
        double best = seconds(*variants.front());
        for (const auto& v : variants) best = std::min(best, seconds(*v));
        std::vector<std::string> names;
        for (size_t i = variants.size(); i-- > 1;)
            if (seconds(*variants[i]) > factor * best) {
                names.push_back(variants[i]->name);
                variants.erase(variants.begin() + ptrdiff_t(i));
            }
        return names;
    }

    /// In turn, so that a slow moment of the machine falls on all. False when time ran out before enough.
    bool run_rounds(Variants& variants) const {
        double seconds_spent = 0;
        for (size_t round = 0; round < most_rounds && variants.size() > 1; ++round) {
            if (round >= least_rounds && seconds_spent > seconds_of_rounds) break;
            double expected = 0;
            for (const auto& v : variants) expected += round == 0 ? v->first_seconds : v->run_seconds;
            if (!has_time_for(expected)) return round >= least_rounds;
            for (const auto& v : variants) v->run(), seconds_spent += v->run_seconds;
            if (round == 1)
                drop(variants, hopeless_after_two_rounds, [&](const BenchVariant& v) {
                    return times_of(on_cpu() ? v.processor_seconds : v.seconds).best;
                });
        }
        return true;
    }

    static double seconds_of(const BenchVariant& v) {
        return v.seconds.empty() ? v.first_seconds : times_of(v.seconds).median;
    }

    Found best_of(const Variants& variants) const {
        const BenchVariant& first = *variants.front();
        Found found{first.name, first.name, seconds_of(first), seconds_of(first), 1};
        for (size_t i = 1; i < variants.size(); ++i) {
            double speedup = speedup_of(variants[i]->seconds, first.seconds);
            if (on_cpu())
                speedup =
                    std::min(speedup, speedup_of(variants[i]->processor_seconds, first.processor_seconds));
            if (speedup > std::max(least_speedup, found.speedup))
                found.best = variants[i]->name, found.best_seconds = seconds_of(*variants[i]),
                found.speedup = speedup;
        }
        return found;
    }

    void write_header() {
        output_.write(fmt::format("{}, {} {}, {}\n{:<51} {:<16}{:>10}  {:<16}{:>10}{:>10}\n",
                                  capabilities_.device_name, capabilities_.driver_name,
                                  capabilities_.driver_info,
                                  precision_of(global_) == Precision::fp16 ? "fp16" : "fp32", "", "built-in",
                                  "ms", "best", "ms", "speed-up"));
        output_.flush();
    }

    void write(const TuneCase& c, const Found& f) {
        if (options_.json) {
            JsonLine line;
            line.field("op", c.bench.op()).field("case", c.bench.title).field("type", name_of_type(c));
            line.field("built_in", f.built_in).field("built_in_milliseconds", f.built_in_seconds * 1e3);
            line.field("best", f.best).field("best_milliseconds", f.best_seconds * 1e3);
            line.field("speedup", f.speedup);
            output_.line(line);
        } else {
            output_.write(fmt::format("{:<51} {:<16}{:>10.3f}  {:<16}{:>10.3f}{:>10.2f}\n", c.bench.title,
                                      f.built_in, f.built_in_seconds * 1e3, f.best, f.best_seconds * 1e3,
                                      f.speedup));
        }
        output_.flush();
    }
    static std::string_view name_of_type(const TuneCase& c) { return vkbert::name_of(c.bench.type); }

    const GlobalOptions& global_;
    const TuneOptions& options_;
    const std::chrono::steady_clock::time_point begin_;
    const std::unique_ptr<Device> device_;
    const Capabilities& capabilities_;
    PipelineCache pipelines_;
    const std::filesystem::path path_;
    std::set<Name> hopeless_;
    double rate_ = 0;  // FLOP/s, the highest so far
    ResultWriter output_;
};

void tune(const GlobalOptions& global, const TuneOptions& options) {
    if (!global.kernels.empty())
        fail(ErrorCode::invalid_argument, "--kernel: tune chooses between all variants");
    Tuner tuner(global, options);
    tuner.run(global.model.empty() ? config_of_shape(options.shape)
                                   : read_config(model_folder(global.model)));
}

}  // namespace

void add_tune_command(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("tune", "Measure which kernels are the fastest here, and use them from then on");
    auto options = std::make_shared<TuneOptions>();
    command->add_option("--shape", options->shape, "Without --model: base, large, tiny, or L,H,A,F")
        ->type_name("SHAPE")
        ->capture_default_str();
    command->add_option("--seconds", options->seconds, "Stop after about this long")
        ->type_name("N")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    command->add_flag("--train", options->train, "Measure the gradients' kernels too");
    command->add_flag("--json", options->json, "One JSON object a shape instead of a table");
    command->footer(R"(Examples:
  vkbert tune --shape base
  vkbert tune --model sentence-transformers/all-MiniLM-L6-v2 --precision fp16 --train --json
  {"op":"matmul","case":"projection (384 x 384), 128 tokens","type":"fp16","built_in":"tiled_64",...}

A few variants of each kernel take turns at the model's shapes; one that is more than 3% faster than the built-in choice, in the
median, is kept in a file beside the compiled pipelines, which the other commands read: `vkbert devices` names it, --no-tuning
leaves it out. What another run has found for other shapes stays. A new driver or a new build of vkbert begins anew. Results may
differ in their last bits with another choice; with the same file they are the same.)");
    command->callback(
        [&context, options] { context.run = [&context, options] { tune(context.options, *options); }; });
}

}  // namespace vkbert::tools
