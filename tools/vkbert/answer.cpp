// vkbert answer: the span of a context that answers a question; long contexts by sliding windows.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "bert/answers.hpp"
#include "bert/json_text.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/head_command.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

namespace {

struct AnswerCommandOptions : HeadOptions {
    std::string question, context;
    uint32_t doc_stride = 128, best = 20, longest_answer = 30;
    double null_threshold = 0;
    bool has_null_threshold = false;
};

/// A question as a record: its text, and the context as its pair.
TextRecord question_record(std::string id, std::string where, std::string question, std::string context) {
    TextRecord record;
    record.id = std::move(id);
    record.where = std::move(where);
    record.text = std::move(question);
    record.pair = std::move(context);
    return record;
}

/// SQuAD's own format, versions 1.1 and 2.0: data[].paragraphs[].{context, qas[].{id, question}}.
std::vector<TextRecord> read_squad(const std::string& path) {
    const nlohmann::json file = read_json_object(path, uint64_t(2) << 30);
    std::vector<TextRecord> records;
    try {
        for (const auto& article : file.at("data"))
            for (const auto& paragraph : article.at("paragraphs"))
                for (const auto& qa : paragraph.at("qas"))
                    records.push_back(question_record(qa.at("id"),
                                                      path + ": question " + std::string(qa.at("id")),
                                                      qa.at("question"), paragraph.at("context")));
    } catch (const nlohmann::json::exception& error) {
        fail(ErrorCode::invalid_input, "{}: is not in SQuAD's format: {}", path, error.what());
    }
    return records;
}

std::vector<TextRecord> read_questions(const AnswerCommandOptions& options) {
    if (!options.question.empty()) {
        require_utf8(options.question, "--question");
        require_utf8(options.context, "--context");
        return {question_record("0", "--context", options.question, options.context)};
    }
    if (options.text.format == "squad") return read_squad(options.text.input);
    TextReader reader(options.text, {"question", "context"});
    std::vector<TextRecord> records;
    for (TextRecord record; reader.next(record); records.push_back(std::move(record))) {
        if (!record.pair) fail(ErrorCode::invalid_input, "{}: has no field \"context\"", record.where);
        if (record.id.empty()) record.id = std::to_string(record.index);
    }
    return records;
}

class AnswerQuestions {
  public:
    AnswerQuestions(const GlobalOptions& global, const AnswerCommandOptions& options)
        : options_(options), records_(read_questions(options)), loaded_(global, {Head::question_answering}) {
        encode_.max_length = loaded_.max_length(options.max_length, 384);
        encode_.truncation = Truncation::only_second;
        encode_.stride = options.doc_stride;
        rules_.best = options.best;
        rules_.longest_answer = options.longest_answer;
        if (options.has_null_threshold) rules_.null_threshold = options.null_threshold;
    }

    void run() {
        SessionOptions session;
        session.output = vkbert::Output::logits;
        BatchRunner runner(loaded_, session, options_.batch_tokens);
        Progress progress(loaded_.global().quiet, "questions", Progress::Unit::count, records_.size());
        std::vector<Item> items;
        size_t tokens = 0, done = 0;
        for (TextRecord& record : records_) {
            Item& item = items.emplace_back(Item{std::move(record), {}});
            item.encodings = windows_of(item.record);
            for (const Encoding& encoding : item.encodings) tokens += encoding.size();
            if (++done < records_.size() && tokens < size_t(runner.batch_tokens()) * 32) continue;
            run_items(runner, items, true,
                      [this](const Item& one, std::span<const Matrix> logits) { write(one, logits); });
            progress.set(done);
            items.clear();
            tokens = 0;
        }
        output_.finish();
    }

  private:
    std::vector<Encoding> windows_of(const TextRecord& record) const {
        std::vector<Encoding> windows = loaded_.tokenizer().encode_windows(record.text, record.pair, encode_);
        for (const Encoding& window : windows) loaded_.check(window, record.where);
        return windows;
    }

    void write(const Item& item, std::span<const Matrix> logits) {
        std::vector<std::vector<float>> start(logits.size()), end(logits.size());
        std::vector<AnswerWindow> windows;
        for (size_t w = 0; w < logits.size(); ++w) {
            for (size_t at = 0; at < logits[w].values.size(); at += 2) {
                start[w].push_back(logits[w].values[at]);
                end[w].push_back(logits[w].values[at + 1]);
            }
            windows.push_back({&item.encodings[w], start[w], end[w]});
        }
        const Answer answer = find_answer(windows, rules_);
        JsonLine line;
        line.field("id", item.record.id)
            .field("answer", substring(item.record.pair.value_or(""), answer.range))
            .field("begin", answer.range.begin)
            .field("end", answer.range.end)
            .field("score", answer.score);
        output_.line(line);
    }

    const AnswerCommandOptions& options_;
    std::vector<TextRecord> records_;
    LoadedModel loaded_;
    EncodeOptions encode_;
    AnswerOptions rules_;
    ResultWriter output_;
};

void add_options(CLI::App& command, AnswerCommandOptions& options) {
    options.text.format = "squad";
    auto* question = command.add_option("--question", options.question, "The question")->type_name("TEXT");
    auto* context = command.add_option("--context", options.context, "The text to find its answer in")
                        ->type_name("TEXT")
                        ->needs(question);
    question->needs(context);
    command.add_option("--input", options.text.input, "Read questions and contexts from this file")
        ->type_name("FILE")
        ->excludes(question);
    command
        .add_option("--input-format", options.text.format,
                    "squad: SQuAD's own JSON; jsonl: objects with \"question\" and \"context\"")
        ->check(CLI::IsMember({"squad", "jsonl"}))
        ->type_name("FORMAT")
        ->capture_default_str();
    add_length_options(command, options);
    const auto number = [&](const char* name, uint32_t& value, const char* help) {
        command.add_option(name, value, help)
            ->type_name("N")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
    };
    number("--doc-stride", options.doc_stride, "Tokens that neighbouring windows share");
    number("--n-best", options.best, "Spans among which the score is a probability");
    number("--max-answer-length", options.longest_answer, "Tokens of an answer at most");
    command
        .add_option("--null-threshold", options.null_threshold,
                    "SQuAD 2.0: no answer where its score is more than this above the best span's")
        ->type_name("X")
        ->each([&options](const std::string&) { options.has_null_threshold = true; });
}

}  // namespace

void add_answer_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("answer", "Find the answer to a question in a text");
    auto options = std::make_shared<AnswerCommandOptions>();
    add_options(*command, *options);
    command->footer(R"(Example:
  vkbert answer --model DIR --question "Where does Amy live?" --context "Amy lives in Amsterdam."
  {"id":"0","answer":"Amsterdam","begin":13,"end":22,"score":0.98})");
    command->callback([&context, options] {
        if (options->question.empty() && options->text.input.empty())
            throw CLI::RequiredError("--question with --context, or --input");
        context.run = [&context, options] { AnswerQuestions(context.options, *options).run(); };
    });
}

}  // namespace vkbert::tools
