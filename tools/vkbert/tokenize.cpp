// vkbert tokenize: the word pieces of texts, as Hugging Face's fast tokenizer gives them.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "bert/tokenizer/tokenizer.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/output.hpp"
#include "tools/vkbert/text_input.hpp"

namespace vkbert::tools {

namespace {
struct TokenizeOptions {
    TextOptions text;
    uint32_t max_length = 0;
    bool no_special_tokens = false;
};
}  // namespace

static void append_integers(JsonLine& line, const char* name, const std::vector<int32_t>& numbers) {
    line.key(name).begin_array();
    for (const int32_t number : numbers) line.value(static_cast<uint64_t>(number));
    line.end_array();
}

static void write_encoding(ResultWriter& output, const Tokenizer& tokenizer, const Encoding& encoding) {
    JsonLine line;
    append_integers(line, "ids", encoding.ids);
    line.key("tokens").begin_array();
    for (const int32_t id : encoding.ids) line.value(tokenizer.token(id).value_or(""));
    line.end_array();
    append_integers(line, "type_ids", encoding.type_ids);
    line.key("offsets").begin_array();
    for (const TextRange& range : encoding.offsets)
        line.begin_array().value(range.begin).value(range.end).end_array();
    line.end_array();
    output.line(line);
}

static void tokenize(const GlobalOptions& global, const TokenizeOptions& options) {
    const Tokenizer tokenizer = Tokenizer::from_folder(model_folder(global.model));
    TextReader reader(options.text);
    EncodeOptions encode;
    if (options.max_length != 0) encode.max_length = options.max_length;
    encode.add_special_tokens = !options.no_special_tokens;
    ResultWriter output;
    Encoding encoding;
    for (TextRecord record; reader.next(record);) {
        tokenizer.encode(record.text, record.pair, encode, encoding);
        write_encoding(output, tokenizer, encoding);
    }
    output.finish();
}

void add_tokenize_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("tokenize", "Split texts into word pieces");
    auto options = std::make_shared<TokenizeOptions>();
    add_text_options(*command, options->text);
    command->add_option("--max-length", options->max_length, "Truncate to this many tokens")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command->add_flag("--no-special-tokens", options->no_special_tokens, "Leave [CLS] and [SEP] out");
    command->footer(R"(Example:
  vkbert tokenize --model bert-base-uncased "Hello world" --pair "A second text"
  {"ids":[101,7592,...],"tokens":["[CLS]","hello",...],"type_ids":[0,0,...],"offsets":[[0,0],[0,5],...]}

Offsets are Unicode code points of the input. The model's folder needs its vocabulary only.)");
    command->callback(
        [&context, options] { context.run = [&context, options] { tokenize(context.options, *options); }; });
}

}  // namespace vkbert::tools
