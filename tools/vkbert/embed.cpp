// vkbert embed: one vector a text, or one a token.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cmath>
#include <memory>

#include "bert/matrix_file.hpp"
#include "bert/sentence_transformers.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/layer_list.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

namespace {

struct EmbedOptions {
    TextOptions text;
    std::string pooling = "auto", layers = "-1", output;
    bool normalize = false, no_normalize = false;
    uint32_t max_length = 0, batch_tokens = 0;
};

/// Where embeddings go: lines on standard output or in a file, or a matrix.
class Destination {
  public:
    Destination(const std::string& path, bool rows_are_tokens) : tokens_(rows_are_tokens) {
        const std::string kind = path.substr(std::min(path.rfind('.'), path.size() - 1) + 1);
        if (path.empty())
            lines_ = std::make_unique<ResultWriter>();
        else if (kind == "jsonl")
            lines_ = std::make_unique<ResultWriter>(path);
        else if (kind == "npy" || kind == "safetensors")
            matrix_ = std::make_unique<MatrixFile>(
                path, kind == "npy" ? MatrixFormat::npy : MatrixFormat::safetensors);
        else
            fail(ErrorCode::invalid_argument,
                 "--output: {}: the name must end in .npy, .safetensors or .jsonl", path);
    }

    /// values: (rows, columns); one row, or one for each token.
    void write(size_t index, size_t tokens, std::span<const float> values, size_t columns) {
        if (matrix_) {
            matrix_->append(values, columns);
            if (tokens_) lengths_.push_back(tokens);
            return;
        }
        JsonLine line;
        line.field("index", uint64_t(index)).field("tokens", uint64_t(tokens));
        line.key("embedding");
        if (tokens_) {
            line.begin_array();
            for (size_t at = 0; at < values.size(); at += columns) line.values(values.subspan(at, columns));
            line.end_array();
        } else {
            line.values(values);
        }
        lines_->line(line);
    }
    void finish() {
        if (matrix_) matrix_->finish(lengths_);
        if (lines_) lines_->finish();
    }

  private:
    bool tokens_;
    std::unique_ptr<ResultWriter> lines_;
    std::unique_ptr<MatrixFile> matrix_;
    std::vector<uint64_t> lengths_;
};

class Embed {
  public:
    Embed(const GlobalOptions& global, const EmbedOptions& options)
        : options_(options),
          reader_(options.text),
          destination_(options.output, options.pooling == "none"),
          sentence_(sentence_transformer(model_folder(global.model))),
          loaded_(global, {Head::none}, sentence_.do_lower_case),
          runner_(loaded_, session_options(), options.batch_tokens) {}

    void run() {
        EncodeOptions encode;
        encode.max_length = loaded_.max_length(options_.max_length, sentence_.max_seq_length.value_or(0));
        WindowOptions window;
        // Results wait for their turn in memory: few tokens where each has a row of its own.
        window.max_tokens = size_t(runner_.batch_tokens()) * (per_token() ? 2 : 32);
        for_each_window(
            reader_, loaded_, window,
            [&](Item& item) {
                loaded_.tokenizer().encode(item.record.text, item.record.pair, encode,
                                           item.encodings.emplace_back());
            },
            [&](std::vector<Item>& items) { process(items); });
        destination_.finish();
    }

  private:
    bool per_token() const { return options_.pooling == "none"; }

    SentenceTransformer sentence_transformer(const std::filesystem::path& folder) const {
        SentenceTransformer result;
        if (options_.pooling == "auto") result = read_sentence_transformer(folder).value_or(result);
        if (options_.pooling == "cls") result.pooling = {ops::Pooling::first};
        if (options_.pooling == "max") result.pooling = {ops::Pooling::max};
        if (result.pooling.empty()) result.pooling = {ops::Pooling::mean};
        if (result.pooling.size() > 1)
            fail(ErrorCode::unsupported, "{}: joins {} poolings; choose one with --pooling", folder.string(),
                 result.pooling.size());
        return result;
    }

    SessionOptions session_options() {
        SessionOptions session;
        session.output = per_token() ? vkbert::Output::hidden_states : vkbert::Output::sentence;
        session.layers = parse_layers(options_.layers, loaded_.config().num_hidden_layers);
        session.pooling = sentence_.pooling.front();
        const bool normalize = options_.normalize || (sentence_.normalize && !options_.no_normalize);
        session.normalize = normalize && !per_token() && session.layers.size() == 1;
        normalize_rows_ = normalize && !session.normalize;
        columns_ = loaded_.config().hidden_size * session.layers.size();
        return session;
    }

    void process(std::vector<Item>& items) {
        std::vector<Sequence> sequences(items.size());
        std::vector<std::vector<float>> values(items.size());
        for (size_t i = 0; i < items.size(); ++i) sequences[i].encoding = &items[i].encodings.front();
        runner_.run(sequences, [&](const BatchResult& result) { collect(result, values); });
        for (size_t i = 0; i < items.size(); ++i)
            destination_.write(items[i].record.index, items[i].encodings.front().size(), values[i], columns_);
    }

    /// Copies each sequence's rows, layer beside layer.
    void collect(const BatchResult& result, std::vector<std::vector<float>>& values) const {
        const size_t H = loaded_.config().hidden_size;
        for (size_t layer = 0; layer < result.session.results(); ++layer) {
            const Matrix matrix = result.session.read(layer);
            for (size_t s = 0; s < result.items.size(); ++s) {
                const size_t first = per_token() ? result.batch.offsets[s] : s;
                const size_t rows = per_token() ? result.batch.offsets[s + 1] - first : 1;
                std::vector<float>& out = values[result.items[s]];
                out.resize(rows * columns_);
                for (size_t row = 0; row < rows; ++row)
                    std::copy_n(matrix.values.begin() + ptrdiff_t((first + row) * H), H,
                                out.begin() + ptrdiff_t(row * columns_ + layer * H));
            }
        }
        if (!normalize_rows_) return;
        for (const size_t item : result.items)
            for (size_t at = 0; at < values[item].size(); at += columns_)
                normalize(std::span(values[item]).subspan(at, columns_));
    }

    static void normalize(std::span<float> row) {
        double squares = 0;
        for (const float value : row) squares += double(value) * value;
        const double length = std::max(std::sqrt(squares), 1e-12);
        for (float& value : row) value = static_cast<float>(value / length);
    }

    const EmbedOptions& options_;
    TextReader reader_;
    Destination destination_;
    SentenceTransformer sentence_;
    LoadedModel loaded_;
    bool normalize_rows_ = false;
    size_t columns_ = 0;
    BatchRunner runner_;
};

}  // namespace

void add_embed_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("embed", "Turn texts into vectors");
    auto options = std::make_shared<EmbedOptions>();
    add_text_options(*command, options->text);
    command
        ->add_option("--pooling", options->pooling,
                     "auto (sentence-transformers' files, else mean), cls, mean, max, or none: a row a token")
        ->check(CLI::IsMember({"auto", "cls", "mean", "max", "none"}))
        ->type_name("HOW")
        ->capture_default_str();
    command
        ->add_option("--layers", options->layers,
                     "Hidden states, side by side: -1 the last, -4: the last four, 0 the embeddings")
        ->type_name("LIST")
        ->capture_default_str();
    auto* normalize = command->add_flag("--normalize", options->normalize, "Scale vectors to length 1");
    command->add_flag("--no-normalize", options->no_normalize, "Do not, even if the model's files say so")
        ->excludes(normalize);
    command->add_option("--max-length", options->max_length, "Truncate texts to this many tokens")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command->add_option("--batch-tokens", options->batch_tokens, "Run about this many tokens at once")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command->add_option("--output", options->output, "Write to FILE.npy, FILE.safetensors or FILE.jsonl")
        ->type_name("FILE");
    command->footer(R"(Examples:
  vkbert embed --model sentence-transformers/all-MiniLM-L6-v2 "A cat sat on the mat."
  {"index":0,"tokens":9,"embedding":[0.13040133,-0.011870126,...]}
  vkbert embed --model bert-base-uncased --pooling none --layers -4: --input texts.txt --output features.npy)");
    command->callback([&context, options] {
        context.run = [&context, options] { Embed(context.options, *options).run(); };
    });
}

}  // namespace vkbert::tools
