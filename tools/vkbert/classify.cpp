// vkbert classify: the label of a text or pair, or the value that a regression head gives it.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/head_command.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

/// Probabilities of the labels: each for itself where a text may have several.
static std::vector<double> probabilities(const Config& config, const std::vector<float>& logits) {
    if (config.problem_type != "multi_label_classification") return softmax(logits.data(), logits.size());
    std::vector<double> result;
    for (const float logit : logits) result.push_back(1 / (1 + std::exp(-double(logit))));
    return result;
}

static void write_classes(JsonLine& line, const Config& config, const std::vector<float>& logits) {
    const std::vector<double> scores = probabilities(config, logits);
    const auto best = static_cast<size_t>(std::ranges::max_element(scores) - scores.begin());
    line.field("label", config.labels[best]).field("score", scores[best]).key("scores").begin_object();
    for (size_t label = 0; label < scores.size(); ++label) line.field(config.labels[label], scores[label]);
    line.end_object();
}

static void write_values(JsonLine& line, const std::vector<float>& logits) {
    if (logits.size() == 1)
        line.field("value", logits[0]);
    else
        line.key("values").values(logits);
}

static void classify(const GlobalOptions& global, const HeadOptions& options) {
    TextReader reader(options.text);
    LoadedModel loaded(global, {Head::sequence_classification});
    const Config& config = loaded.config();
    const bool regression = config.num_labels() == 1 || config.problem_type == "regression";
    ResultWriter output;
    run_head(loaded, reader, options, false, encode_whole(loaded, options.max_length),
             [&](const Item& item, std::span<const Matrix> logits) {
                 JsonLine line;
                 line.field("index", uint64_t(item.record.index));
                 if (regression)
                     write_values(line, logits[0].values);
                 else
                     write_classes(line, config, logits[0].values);
                 output.line(line);
             });
    output.finish();
}

void add_classify_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("classify", "Give texts or pairs a label or a value");
    auto options = std::make_shared<HeadOptions>();
    add_head_options(*command, *options);
    command->footer(R"(Example:
  vkbert classify --model textattack/bert-base-uncased-SST-2 "A gem of a movie."
  {"index":0,"label":"LABEL_1","score":0.9993,"scores":{"LABEL_0":0.0007,"LABEL_1":0.9993}})");
    command->callback(
        [&context, options] { context.run = [&context, options] { classify(context.options, *options); }; });
}

}  // namespace vkbert::tools
