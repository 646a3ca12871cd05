// vkbert fill-mask: the most probable words for every [MASK] of a text.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "runtime/error.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/head_command.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

namespace {

struct FillMaskOptions : HeadOptions {
    uint32_t top_k = 5;
};

/// A masked position's words, most probable first.
struct Predictions {
    std::vector<int32_t> ids;
    std::vector<float> scores;
};

class FillMask {
  public:
    FillMask(const GlobalOptions& global, const FillMaskOptions& options)
        : options_(options), reader_(options.text), loaded_(global, {Head::masked_lm}) {}

    void run() {
        SessionOptions session;
        session.output = vkbert::Output::top_k;
        session.top_k = options_.top_k;
        BatchRunner runner(loaded_, session, options_.batch_tokens);
        for_each_window(reader_, loaded_, {}, encode_whole(loaded_, options_.max_length),
                        [&](std::vector<Item>& items) { process(items, runner); });
        output_.finish();
    }

  private:
    std::vector<uint32_t> masks_of(const Item& item) const {
        const Encoding& encoding = item.encodings.front();
        std::vector<uint32_t> rows;
        for (uint32_t t = 0; t < encoding.size(); ++t)
            if (encoding.ids[t] == loaded_.tokenizer().mask_id()) rows.push_back(t);
        if (rows.empty())
            fail(ErrorCode::invalid_input, "{}: has no [MASK] in its first {} tokens", item.record.where,
                 encoding.size());
        return rows;
    }

    void process(const std::vector<Item>& items, BatchRunner& runner) {
        std::vector<Sequence> sequences;
        for (const Item& item : items) sequences.push_back({&item.encodings.front(), masks_of(item)});
        std::vector<std::vector<Predictions>> predictions(items.size());
        runner.run(sequences, [&](const BatchResult& result) {
            const Matrix scores = result.session.read();
            const std::vector<uint32_t> ids = result.session.read_top_k_ids();
            size_t at = 0;
            for (const size_t i : result.items)
                for (size_t mask = 0; mask < sequences[i].rows.size(); ++mask, at += scores.columns)
                    predictions[i].push_back(
                        {{ids.begin() + ptrdiff_t(at), ids.begin() + ptrdiff_t(at + scores.columns)},
                         {scores.values.begin() + ptrdiff_t(at),
                          scores.values.begin() + ptrdiff_t(at + scores.columns)}});
        });
        for (size_t i = 0; i < items.size(); ++i)
            write(items[i].record.index, sequences[i].rows, predictions[i]);
    }

    void write(size_t index, const std::vector<uint32_t>& rows, const std::vector<Predictions>& predictions) {
        JsonLine line;
        line.field("index", uint64_t(index)).key("masks").begin_array();
        for (size_t mask = 0; mask < rows.size(); ++mask) {
            line.begin_object().field("position", rows[mask]).key("predictions").begin_array();
            const Predictions& words = predictions[mask];
            for (size_t k = 0; k < words.ids.size(); ++k)
                line.begin_object()
                    .field("token", loaded_.tokenizer().decode(std::span(&words.ids[k], 1)))
                    .field("id", static_cast<uint32_t>(words.ids[k]))
                    .field("score", words.scores[k])
                    .end_object();
            line.end_array().end_object();
        }
        line.end_array();
        output_.line(line);
    }

    const FillMaskOptions& options_;
    TextReader reader_;
    LoadedModel loaded_;
    ResultWriter output_;
};

}  // namespace

void add_fill_mask_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("fill-mask", "Guess the words that [MASK] hides");
    auto options = std::make_shared<FillMaskOptions>();
    add_head_options(*command, *options);
    command->add_option("--top-k", options->top_k, "Words for each [MASK]")
        ->type_name("N")
        ->check(CLI::Range(1, 128))
        ->capture_default_str();
    command->footer(R"(Example:
  vkbert fill-mask --model bert-base-uncased "The capital of France is [MASK]."
  {"index":0,"masks":[{"position":6,"predictions":[{"token":"paris","id":3000,"score":0.4168},...]}]})");
    command->callback([&context, options] {
        context.run = [&context, options] { FillMask(context.options, *options).run(); };
    });
}

}  // namespace vkbert::tools
