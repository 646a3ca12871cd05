#include "tools/vkbert/head_command.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "bert/tokenizer/utf8.hpp"

namespace vkbert::tools {

void add_length_options(CLI::App& command, HeadOptions& options) {
    command.add_option("--max-length", options.max_length, "Truncate to this many tokens")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    command.add_option("--batch-tokens", options.batch_tokens, "Run about this many tokens at once")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
}

void add_head_options(CLI::App& command, HeadOptions& options) {
    add_text_options(command, options.text);
    add_length_options(command, options);
}

std::function<void(Item&)> encode_whole(LoadedModel& loaded, uint32_t max_length) {
    EncodeOptions encode;
    encode.max_length = loaded.max_length(max_length);
    return [&loaded, encode](Item& item) {
        loaded.tokenizer().encode(item.record.text, item.record.pair, encode, item.encodings.emplace_back());
    };
}

static Matrix rows_of(const Matrix& matrix, size_t first, size_t count) {
    const auto begin = matrix.values.begin() + static_cast<ptrdiff_t>(first * matrix.columns);
    return {static_cast<uint32_t>(count),
            matrix.columns,
            {begin, begin + static_cast<ptrdiff_t>(count * matrix.columns)}};
}

void run_items(BatchRunner& runner, const std::vector<Item>& items, bool per_token,
               const ReceiveLogits& receive) {
    std::vector<Sequence> sequences;
    for (const Item& item : items)
        for (const Encoding& encoding : item.encodings) sequences.push_back({&encoding, {}});
    std::vector<Matrix> logits(sequences.size());
    runner.run(sequences, [&](const BatchResult& result) {
        const Matrix all = result.session.read();
        for (size_t s = 0; s < result.items.size(); ++s) {
            const size_t first = per_token ? result.batch.offsets[s] : s;
            const size_t count = per_token ? result.batch.offsets[s + 1] - first : 1;
            logits[result.items[s]] = rows_of(all, first, count);
        }
    });
    std::span<const Matrix> rest(logits);
    for (const Item& item : items) {
        receive(item, rest.first(item.encodings.size()));
        rest = rest.subspan(item.encodings.size());
    }
}

void run_head(LoadedModel& loaded, TextReader& reader, const HeadOptions& options, bool per_token,
              const std::function<void(Item&)>& encode, const ReceiveLogits& receive) {
    SessionOptions session;
    session.output = vkbert::Output::logits;
    BatchRunner runner(loaded, session, options.batch_tokens);
    WindowOptions window;
    window.keep_text = true;
    window.max_tokens = size_t(runner.batch_tokens()) * 32;
    for_each_window(reader, loaded, window, encode,
                    [&](std::vector<Item>& items) { run_items(runner, items, per_token, receive); });
}

std::string substring(const std::string& text, const TextRange& range) {
    return std::string(utf8::slice(text, range.begin, range.end));
}

}  // namespace vkbert::tools
