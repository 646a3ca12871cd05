// vkbert completion: scripts for shells and the man page, written from the options themselves so that they
// never lag.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <fmt/format.h>

#include <memory>
#include <set>

#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

using Options = std::vector<const CLI::Option*>;

static std::vector<const CLI::App*> commands_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App*) { return true; });
}

static Options options_of(const CLI::App& app) {
    return app.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

/// "--pooling", "--normalize": every long name, negated flags included.
static std::vector<std::string> long_names(const CLI::Option& option) {
    std::vector<std::string> names;
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    return names;
}

static bool takes_file(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    return type.find("FILE") != std::string::npos || type.find("DIR") != std::string::npos;
}

static std::string without_quotes(std::string text, char replacement) {
    for (char& c : text)
        if (c == '\'' || c == '`' || c == '[' || c == ']' || c == ':' || c == '"') c = replacement;
    return text;
}

static std::string bash_script(const CLI::App& app) {
    std::string cases, names, globals;
    for (const CLI::Option* option : options_of(app))
        for (const std::string& name : long_names(*option)) globals += name + " ";
    for (const CLI::App* command : commands_of(app)) {
        names += command->get_name() + " ";
        std::string words;
        for (const CLI::Option* option : options_of(*command))
            for (const std::string& name : long_names(*option)) words += name + " ";
        cases += fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(), words);
    }
    return fmt::format(R"(# bash completion for vkbert
_vkbert() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= word words=
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " {0}" in *" $word "*) command=$word; break ;; esac
  done
  case $previous in
    --precision) COMPREPLY=($(compgen -W "auto fp32 fp16" -- "$current")); return ;;
    --pooling) COMPREPLY=($(compgen -W "auto cls mean max none" -- "$current")); return ;;
    --input-format) COMPREPLY=($(compgen -W "lines jsonl tsv" -- "$current")); return ;;
  esac
  case $command in
{1}    *) words="{0}" ;;
  esac
  if [[ $current == -* || -z $command ]]; then
    COMPREPLY=($(compgen -W "$words {2}" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _vkbert vkbert
)",
                       names, cases, globals);
}

static std::string zsh_options(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : options_of(app))
        for (const std::string& name : long_names(*option)) {
            const bool flag = option->get_items_expected_max() == 0;
            text += fmt::format(" \\\n      '{}[{}]{}'", name, without_quotes(option->get_description(), ' '),
                                flag                  ? ""
                                : takes_file(*option) ? ":file:_files"
                                                      : ":value: ");
        }
    return text;
}

static std::string zsh_script(const CLI::App& app) {
    std::string names, cases;
    for (const CLI::App* command : commands_of(app)) {
        names += fmt::format("    '{}:{}'\n", command->get_name(),
                             without_quotes(command->get_description(), ' '));
        cases += fmt::format("    {}) _arguments{}{} '*:text or file:_files' ;;\n", command->get_name(),
                             zsh_options(*command), zsh_options(app));
    }
    return fmt::format(R"(#compdef vkbert
_vkbert() {{
  local -a commands
  commands=(
{0}  )
  local command=${{words[(r)(${{(j:|:)${{commands%%:*}}}})]}}
  if [[ -z $command || $words[CURRENT] == $command ]]; then
    _describe command commands
    return
  fi
  case $command in
{1}  esac
}}
if [[ $funcstack[1] == _vkbert ]]; then _vkbert "$@"; else compdef _vkbert vkbert; fi
)",
                       names, cases);
}

static std::string fish_script(const CLI::App& app) {
    std::string text = "# fish completion for vkbert\n";
    const auto add = [&text](const std::string& condition, const CLI::App& of) {
        for (const CLI::Option* option : options_of(of))
            for (const std::string& name : long_names(*option))
                text += fmt::format("complete -c vkbert{} -l {}{} -d '{}'\n", condition, name.substr(2),
                                    option->get_items_expected_max() == 0 ? ""
                                    : takes_file(*option)                 ? " -r -F"
                                                                          : " -x",
                                    without_quotes(option->get_description(), ' '));
    };
    for (const CLI::App* command : commands_of(app))
        text += fmt::format("complete -c vkbert -n __fish_use_subcommand -f -a {} -d '{}'\n",
                            command->get_name(), without_quotes(command->get_description(), ' '));
    add("", app);
    for (const CLI::App* command : commands_of(app))
        add(fmt::format(" -n '__fish_seen_subcommand_from {}'", command->get_name()), *command);
    return text;
}

/// Text for roff: backslashes, hyphens and leading dots are special to it.
static std::string roff(const std::string& text) {
    std::string result;
    bool line_start = true;
    for (const char c : text) {
        if (c == '\\')
            result += "\\e";
        else if (c == '-')
            result += "\\-";
        else if (line_start && (c == '.' || c == '\''))
            result += std::string("\\&") + c;
        else
            result += c;
        line_start = c == '\n';
    }
    return result;
}

static std::string man_options(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : options_of(app)) {
        text += ".TP\n\\fB" + roff(option->get_name(false, true)) + "\\fR";
        if (option->get_items_expected_max() != 0) text += " \\fI" + roff(option->get_type_name()) + "\\fR";
        text += "\n" + roff(option->get_description());
        if (!option->get_default_str().empty()) text += " (default: " + roff(option->get_default_str()) + ")";
        text += "\n";
    }
    return text;
}

static std::string man_page(const CLI::App& app) {
    std::string text = fmt::format(
        ".TH VKBERT 1 \"\" \"vkbert {}\" \"User Commands\"\n.SH NAME\nvkbert \\- run BERT on any GPU through "
        "Vulkan "
        "compute\n.SH SYNOPSIS\n.B vkbert\n\\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fITEXT\\fR...]\n.SH "
        "OPTIONS\nThese may "
        "stand before or after the command.\n",
        VKBERT_VERSION);
    text += man_options(app) + ".SH COMMANDS\n";
    for (const CLI::App* command : commands_of(app)) {
        text +=
            fmt::format(".SS vkbert {}\n{}\n", roff(command->get_name()), roff(command->get_description()));
        for (const CLI::Option* option :
             command->get_options([](const CLI::Option* o) { return o->get_positional(); }))
            text += ".TP\n\\fI" + roff(option->get_name(true, false)) + "\\fR\n" +
                    roff(option->get_description()) + "\n";
        text += man_options(*command);
        if (!command->get_footer().empty()) text += ".PP\n.nf\n" + roff(command->get_footer()) + "\n.fi\n";
    }
    text += ".SH NOTES\n.nf\n" + roff(app.get_footer()) + "\n.fi\n";
    text += R"(.SH ENVIRONMENT
.TP
HF_HOME, HF_HUB_CACHE, XDG_CACHE_HOME
Where models from the Hugging Face Hub are kept, as in Hugging Face's own tools; compiled pipelines are kept in
XDG_CACHE_HOME/vkbert.
.TP
HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE
Used by \fBvkbert pull\fR as by Hugging Face's own tools.
)";
    return text;
}

static std::string script(const CLI::App& app, const std::string& kind) {
    if (kind == "bash") return bash_script(app);
    if (kind == "zsh") return zsh_script(app);
    if (kind == "fish") return fish_script(app);
    return man_page(app);
}

void add_completion_command(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("completion", "Print a completion script for a shell, or the man page");
    auto kind = std::make_shared<std::string>();
    command->add_option("SHELL", *kind, "bash, zsh, fish, or man")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish", "man"}));
    command->footer(R"(Examples:
  source <(vkbert completion bash)
  vkbert completion fish > ~/.config/fish/completions/vkbert.fish)");
    command->callback([&context, kind] {
        context.run = [&context, kind] {
            ResultWriter output;
            output.write(script(*context.app, *kind));
            output.finish();
        };
    });
}

}  // namespace vkbert::tools
