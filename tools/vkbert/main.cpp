// The vkbert command: parses the command line, runs one subcommand, turns errors into one line and an exit
// code.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>

#include "runtime/error.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/progress.hpp"

namespace vkbert::tools {

/// The help of a subcommand shows the global options too.
class HelpFormatter : public CLI::Formatter {
  public:
    HelpFormatter() { column_width(34); }

    std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
        std::string text = Formatter::make_help(app, std::move(name), mode);
        if (app->get_parent() == nullptr || mode == CLI::AppFormatMode::Sub) return text;
        const std::string footer = make_footer(app);
        const size_t end = footer.empty() ? text.size() : text.rfind(footer);
        return text.insert(end == std::string::npos ? text.size() : end,
                           make_groups(app->get_parent(), CLI::AppFormatMode::Sub) + "\n");
    }
};

static void add_global_options(CLI::App& app, GlobalOptions& options) {
    const char* const group = "Model and device";
    app.add_option("--model", options.model,
                   "A Hugging Face model folder, or a hub name that `vkbert pull` has fetched")
        ->type_name("DIR|NAME")
        ->group(group);
    app.add_option("--device", options.device,
                   "Vulkan device: auto, an index, or a part of its name (`vkbert devices`)")
        ->type_name("DEVICE")
        ->capture_default_str()
        ->group(group);
    app.add_option("--precision", options.precision, "Storage of weights and activations: auto, fp32 or fp16")
        ->check(CLI::IsMember({"auto", "fp32", "fp16"}))
        ->type_name("TYPE")
        ->capture_default_str()
        ->group(group);
    app.add_option("--kernel", options.kernels,
                   "Force a kernel variant, such as matmul=tiled; may be repeated")
        ->type_name("OP=VARIANT")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false)
        ->group(group);
    app.add_flag("--no-tuning", options.no_tuning,
                 "Choose kernel variants without what `vkbert tune` has measured")
        ->group(group);
    app.add_option("--memory-limit", options.memory_limit,
                   "Use at most this much device memory, such as 2GiB")
        ->type_name("SIZE")
        ->group(group);
    app.add_option("--seed", options.seed, "Seed of everything random")
        ->type_name("N")
        ->capture_default_str()
        ->group(group);
    app.add_flag("--profile", options.profile, "Print a table of dispatches with time, FLOP/s and GB/s")
        ->group("Messages");
    app.add_flag("--quiet", options.quiet, "No progress and no notes on standard error")->group("Messages");
    app.add_flag("--verbose", options.verbose, "Say what is chosen and how much memory it needs")
        ->group("Messages");
}

static const char* const root_footer = R"(Examples:
  vkbert pull sentence-transformers/all-MiniLM-L6-v2
  vkbert embed --model sentence-transformers/all-MiniLM-L6-v2 "A cat sat on the mat."
  vkbert COMMAND --help

Results go to standard output, one JSON object a line; everything else goes to standard error.
Exit codes: 0 done; 1 the work failed; 2 wrong usage or unreadable input; 3 no usable Vulkan device;
4 out of device memory; 5 device lost.)";

static int exit_code(ErrorCode code) {
    switch (code) {
        case ErrorCode::invalid_argument:
        case ErrorCode::invalid_input:
            return 2;
        case ErrorCode::no_device:
            return 3;
        case ErrorCode::out_of_memory:
            return 4;
        case ErrorCode::device_lost:
            return 5;
        case ErrorCode::failed:
        case ErrorCode::unsupported:
            break;
    }
    return 1;
}

static int report(const std::string& text, int code) {
    Progress::clear_line();
    std::string line = text;
    for (char& c : line)
        if (c == '\n') c = ' ';
    std::fprintf(stderr, "vkbert: %s\n", line.c_str());
    return code;
}

static int report_usage(const CLI::App& app, const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
        const bool version = error.get_name() == "CallForVersion";
        const std::string text = version ? std::string(error.what()) + "\n" : app.help();
        const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
        return written ? 0 : report("standard output cannot be written", 1);
    }
    std::string command = "vkbert";
    for (const CLI::App* used : app.get_subcommands()) command += " " + used->get_name();
    const std::vector<std::string> unknown = app.remaining();
    if (app.get_subcommands().empty() && !unknown.empty())
        return report("there is no command '" + unknown.front() + "'; see `vkbert --help`", 2);
    for (const std::string& extra : app.remaining(true))
        if (extra.size() > 1 && extra.front() == '-')
            return report("there is no option '" + extra + "'; see `" + command + " --help`", 2);
    return report(std::string(error.what()) + "; see `" + command + " --help`", 2);
}

// CLI11 takes an argument "[...]" apart as a list, and texts for BERT look like that ("[CLS] ... [SEP]"). A
// mark at the end of such arguments keeps them whole; keep_brackets() has every option take it off again.
static constexpr char bracket_mark = '\x1f';

static std::vector<std::string> marked_arguments(int argc, char** argv) {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    for (std::string& argument : arguments)
        if (argument.size() > 1 && argument.front() == '[' &&
            (argument.back() == ']' || argument.back() == bracket_mark))
            argument += bracket_mark;
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    return arguments;
}

static void keep_brackets(CLI::App& app) {
    for (CLI::Option* option : app.get_options())
        option->transform([](const std::string& value) {
            const bool marked = value.starts_with('[') && value.ends_with(bracket_mark);
            return marked ? value.substr(0, value.size() - 1) : value;
        });
    for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) keep_brackets(*command);
}

static int run(int argc, char** argv) {
    CLI::App app("Run BERT on any GPU through Vulkan compute.", "vkbert");
    Context context;
    context.app = &app;
    app.formatter(std::make_shared<HelpFormatter>());
    app.set_version_flag("--version", "vkbert " VKBERT_VERSION);
    app.set_help_flag("-h,--help", "Print this help");
    app.footer(root_footer);
    app.require_subcommand(1);
    app.fallthrough();
    add_global_options(app, context.options);
    add_devices_command(app, context);
    add_selftest_command(app, context);
    add_tokenize_command(app, context);
    add_bench_command(app, context);
    add_tune_command(app, context);
    add_embed_command(app, context);
    add_fill_mask_command(app, context);
    add_next_sentence_command(app, context);
    add_classify_command(app, context);
    add_tag_command(app, context);
    add_answer_command(app, context);
    add_choose_command(app, context);
    add_finetune_command(app, context);
    add_evaluate_command(app, context);
    add_pull_command(app, context);
    add_completion_command(app, context);
    keep_brackets(app);
    try {
        app.parse(marked_arguments(argc, argv));
    } catch (const CLI::ParseError& error) {
        return report_usage(app, error);
    }
    context.run();
    return 0;
}

static int guarded(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const Error& error) {
        return report(error.what(), exit_code(error.code()));
    } catch (const std::bad_alloc&) {
        return report("out of host memory; use smaller inputs or a smaller model", 1);
    } catch (const std::exception& error) {
        return report(error.what(), 1);
    }
}

}  // namespace vkbert::tools

int main(int argc, char** argv) {
    // A reader that goes away must be a write error with a message, not a silent death.
    std::signal(SIGPIPE, SIG_IGN);
    return vkbert::tools::guarded(argc, argv);
}
