// vkbert choose: which of several continuations fits best (SWAG: Devlin et al. 2018, section 4.4).
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <memory>

#include "runtime/error.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/head_command.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

namespace {
struct ChooseOptions : HeadOptions {
    std::vector<std::string> choices;  // of a question given as arguments
};
}  // namespace

/// Arguments are one question: the text, then the choices.
static void take_choices(ChooseOptions& options) {
    std::vector<std::string>& texts = options.text.texts;
    if (texts.empty()) return;
    options.choices.assign(texts.begin() + 1, texts.end());
    texts.resize(1);
}

static void choose(const GlobalOptions& global, ChooseOptions& options) {
    take_choices(options);
    FieldNames names;
    names.choices = true;
    TextReader reader(options.text, names);
    LoadedModel loaded(global, {Head::multiple_choice});
    EncodeOptions encode;
    encode.max_length = loaded.max_length(options.max_length);
    ResultWriter output;
    run_head(
        loaded, reader, options, false,
        [&](Item& item) {
            if (!options.choices.empty()) item.record.choices = options.choices;
            if (item.record.choices.size() < 2)
                fail(ErrorCode::invalid_input, "{}: has {} choices; there must be two at least",
                     item.record.where, item.record.choices.size());
            for (const std::string& choice : item.record.choices) {
                require_utf8(choice, item.record.where);
                loaded.tokenizer().encode(item.record.text, choice, encode, item.encodings.emplace_back());
            }
        },
        [&](const Item& item, std::span<const Matrix> logits) {
            std::vector<float> values;
            for (const Matrix& one : logits) values.push_back(one.values.at(0));
            const std::vector<double> scores = softmax(values.data(), values.size());
            const auto best = std::ranges::max_element(scores) - scores.begin();
            JsonLine line;
            line.field("index", uint64_t(item.record.index)).field("choice", uint64_t(best));
            line.key("scores").begin_array();
            for (const double score : scores) line.value(score);
            line.end_array();
            output.line(line);
        });
    output.finish();
}

void add_choose_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("choose", "Choose the continuation that fits best");
    auto options = std::make_shared<ChooseOptions>();
    add_head_options(*command, *options);
    command->footer(
        R"(Arguments are one question: the text, then its choices. JSON lines have "text" and "choices", a list;
of tab-separated columns the first is the text.
Example:
  vkbert choose --model DIR "She opened the door and" "walked in." "ate the moon."
  {"index":0,"choice":0,"scores":[0.98,0.02]})");
    command->callback(
        [&context, options] { context.run = [&context, options] { choose(context.options, *options); }; });
}

}  // namespace vkbert::tools
