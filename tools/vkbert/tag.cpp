// vkbert tag: the named entities of a text.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "bert/entities.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/head_command.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

/// (T,C) logits into probabilities, row by row.
static std::vector<float> probabilities(const Matrix& logits) {
    std::vector<float> result;
    for (size_t at = 0; at < logits.values.size(); at += logits.columns)
        for (const double p : softmax(logits.values.data() + at, logits.columns))
            result.push_back(static_cast<float>(p));
    return result;
}

static void write_entities(ResultWriter& output, const Item& item, const std::vector<Entity>& entities) {
    JsonLine line;
    line.field("index", uint64_t(item.record.index)).key("entities").begin_array();
    for (const Entity& entity : entities)
        line.begin_object()
            .field("label", entity.label)
            .field("text", substring(item.record.text, entity.range))
            .field("begin", entity.range.begin)
            .field("end", entity.range.end)
            .field("score", entity.score)
            .end_object();
    line.end_array();
    output.line(line);
}

static void tag(const GlobalOptions& global, const HeadOptions& options) {
    TextReader reader(options.text);
    LoadedModel loaded(global, {Head::token_classification});
    const auto encode = encode_whole(loaded, options.max_length);
    ResultWriter output;
    run_head(
        loaded, reader, options, true,
        [&](Item& item) {
            item.record.pair.reset();
            encode(item);
        },
        [&](const Item& item, std::span<const Matrix> logits) {
            write_entities(
                output, item,
                find_entities(item.encodings.front(), probabilities(logits[0]), loaded.config().labels));
        });
    output.finish();
}

void add_tag_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("tag", "Find the named entities of texts");
    auto options = std::make_shared<HeadOptions>();
    add_head_options(*command, *options);
    command->footer(R"(Example:
  vkbert tag --model dbmdz/bert-large-cased-finetuned-conll03-english "Ada Lovelace lived in London."
  {"index":0,"entities":[{"label":"PER","text":"Ada Lovelace","begin":0,"end":12,"score":0.9991},...]}
A word has the label of its first piece.)");
    command->callback(
        [&context, options] { context.run = [&context, options] { tag(context.options, *options); }; });
}

}  // namespace vkbert::tools
