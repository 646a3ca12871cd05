// vkbert next-sentence: whether the second sentence follows the first (Devlin et al. 2018, section 3.1, task
// 2).
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "runtime/error.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/head_command.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

static void next_sentence(const GlobalOptions& global, HeadOptions& options) {
    const bool arguments = !options.text.texts.empty();
    if (arguments && !options.text.has_pair) {
        if (options.text.texts.size() != 2)
            fail(ErrorCode::invalid_argument, "next-sentence takes two sentences, not {}",
                 options.text.texts.size());
        options.text.pair = options.text.texts[1];
        options.text.has_pair = true;
        options.text.texts.resize(1);
    }
    TextReader reader(options.text);
    LoadedModel loaded(global, {Head::next_sentence});
    const auto encode = encode_whole(loaded, options.max_length);
    ResultWriter output;
    run_head(
        loaded, reader, options, false,
        [&](Item& item) {
            if (!item.record.pair)
                fail(ErrorCode::invalid_input, "{}: has no second sentence", item.record.where);
            encode(item);
        },
        [&](const Item& item, std::span<const Matrix> logits) {
            JsonLine line;
            if (!arguments) line.field("index", uint64_t(item.record.index));
            line.field("is_next", softmax(logits[0].values.data(), 2)[0]);
            output.line(line);
        });
    output.finish();
}

void add_next_sentence_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("next-sentence", "Tell whether one sentence follows another");
    auto options = std::make_shared<HeadOptions>();
    add_head_options(*command, *options);
    command->footer(R"(Example:
  vkbert next-sentence --model bert-base-uncased "He went to the shop." "He bought a gallon of milk."
  {"is_next":0.9999})");
    command->callback([&context, options] {
        context.run = [&context, options] { next_sentence(context.options, *options); };
    });
}

}  // namespace vkbert::tools
