#include "bert/tasks/dataset.hpp"

#include <algorithm>
#include <charconv>

#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

TokenSequence sequence_of(const Encoding& encoding) {
    return {{encoding.ids.begin(), encoding.ids.end()}, {encoding.type_ids.begin(), encoding.type_ids.end()}};
}

float value_of(const std::string& label) {
    float value = 0;  // read_records has checked that it is a number
    std::from_chars(label.data(), label.data() + label.size(), value);
    return value;
}

class Encoder {
  public:
    Encoder(const Task& task, const Tokenizer& tokenizer, const ExampleOptions& options, Dataset& data)
        : task_(task), tokenizer_(tokenizer), options_(options), data_(data) {
        encode_.max_length = options.max_length;
    }

    void add(uint32_t index, const Record& record) {
        switch (task_.kind) {
            case TaskKind::classification:
            case TaskKind::regression:
                return add_text(index, record);
            case TaskKind::tagging:
                return add_sentence(index, record);
            case TaskKind::choice:
                return add_choices(index, record);
            case TaskKind::answering:
                return add_question(index, record);
        }
    }

  private:
    /// An encoding that fills max_length has lost tokens, unless it fits by chance: encoded again to see.
    bool cut(const std::string& text, const std::optional<std::string>& pair) {
        if (encoding_.size() < options_.max_length) return false;
        EncodeOptions whole;
        whole.max_length = options_.max_length + 1;
        tokenizer_.encode(text, pair, whole, longer_);
        return longer_.size() > options_.max_length;
    }

    void add_text(uint32_t index, const Record& record) {
        tokenizer_.encode(record.text, record.pair, encode_, encoding_);
        data_.truncated += cut(record.text, record.pair);
        Example& example = data_.examples.emplace_back();
        example.sequences.push_back(sequence_of(encoding_));
        example.record = index;
        if (task_.kind == TaskKind::regression)
            example.label = ValueLabel{value_of(record.label)};
        else
            example.label = ClassLabel{task_.label_index(record.label, record.where)};
    }

    void add_choices(uint32_t index, const Record& record) {
        Example& example = data_.examples.emplace_back();
        example.record = index;
        bool any_cut = false;
        for (const std::string& choice : record.choices) {
            tokenizer_.encode(record.text, choice, encode_, encoding_);
            any_cut |= cut(record.text, choice);
            example.sequences.push_back(sequence_of(encoding_));
        }
        data_.truncated += any_cut;
        uint32_t right = 0;  // read_records has checked that it is one of the choices
        std::from_chars(record.label.data(), record.label.data() + record.label.size(), right);
        example.label = ChoiceLabel{right};
    }

    void add_sentence(uint32_t index, const Record& record) {
        std::string text;
        std::vector<uint32_t> ends;  // code points, behind each word
        uint32_t at = 0;
        for (const std::string& word : record.words) {
            if (!text.empty()) text += ' ', ++at;
            text += word;
            ends.push_back(at += uint32_t(utf8::count(word)));
        }
        tokenizer_.encode(text, std::nullopt, encode_, encoding_);
        data_.truncated += cut(text, std::nullopt);
        TokenLabels tags{std::vector<uint32_t>(encoding_.size(), ignored_label)};
        std::vector<uint32_t> first_tokens(record.words.size(), ignored_label);
        size_t word = 0;
        for (uint32_t t = 0; t < encoding_.size(); ++t) {
            if (encoding_.sequence_ids[t] != 0) continue;
            while (word + 1 < ends.size() && encoding_.offsets[t].begin >= ends[word]) ++word;
            if (first_tokens[word] != ignored_label) continue;
            first_tokens[word] = t;
            tags.labels[t] = task_.label_index(record.tags[word], record.where);
        }
        data_.examples.push_back({{sequence_of(encoding_)}, std::move(tags), index});
        if (options_.for_scoring) data_.word_tokens.push_back(std::move(first_tokens));
    }

    void add_question(uint32_t index, const Record& record) {
        EncodeOptions bare;
        bare.add_special_tokens = false;
        tokenizer_.encode(record.text, std::nullopt, bare, encoding_);
        std::string_view question = record.text;
        size_t query = encoding_.size();
        if (query > options_.max_query) {
            query = options_.max_query;
            question = utf8::slice(question, 0, query ? encoding_.offsets[query - 1].end : 0);
        }
        const size_t taken = query + tokenizer_.special_token_count(true);
        if (taken >= options_.max_length)
            fail(ErrorCode::invalid_argument,
                 "{}: {} tokens leave no room for the context beside {} of the question", record.where,
                 options_.max_length, taken);
        EncodeOptions windows = encode_;
        windows.truncation = Truncation::only_second;
        windows.stride = std::min<size_t>(options_.doc_stride, (options_.max_length - taken) / 2);
        const std::string& context = data_.records.contexts[record.context];
        for (Encoding& window : tokenizer_.encode_windows(question, context, windows)) {
            data_.examples.push_back({{sequence_of(window)}, span_of(record, window), index});
            if (options_.for_scoring) data_.windows.push_back(std::move(window));
        }
    }

    /// The tokens of the first answer: from the last that begins at or before it to the first that ends at or
    /// behind its end.
    static SpanLabel span_of(const Record& record, const Encoding& window) {
        if (record.answers.empty()) return {};
        const uint32_t begin = record.answers.front().begin;
        const uint32_t end = begin + uint32_t(utf8::count(record.answers.front().text));
        uint32_t first = 0, last = 0;  // 0 is [CLS]
        for (uint32_t t = 0; t < window.size(); ++t) {
            if (window.sequence_ids[t] != 1) continue;
            if (window.offsets[t].begin <= begin) first = t;
            if (window.offsets[t].end >= end && last == 0) last = t;
        }
        return first == 0 || last < first ? SpanLabel{} : SpanLabel{first, last};
    }

    const Task& task_;
    const Tokenizer& tokenizer_;
    const ExampleOptions& options_;
    Dataset& data_;
    EncodeOptions encode_;
    Encoding encoding_, longer_;
};

}  // namespace

Dataset encode_records(const Task& task, Records records, const Tokenizer& tokenizer,
                       const ExampleOptions& options) {
    if (task.labels.empty() && (task.kind == TaskKind::classification || task.kind == TaskKind::tagging))
        fail(ErrorCode::invalid_argument, "task {} has no labels yet", task.name);
    Dataset data;
    data.record_count = records.rows.size();
    data.skipped = records.skipped;
    data.records = std::move(records);
    data.examples.reserve(data.record_count);
    Encoder encoder(task, tokenizer, options, data);
    for (uint32_t i = 0; i < data.record_count; ++i) encoder.add(i, data.records.rows[i]);
    if (!options.for_scoring) data.records = {};
    return data;
}

void Dataset::check_fits(const Config& config) const {
    const auto check = [](const Example& example, const char* what, uint64_t value, uint64_t rows) {
        if (value >= rows)
            fail(ErrorCode::invalid_input, "record {}: {} {}, where the model has {}", example.record + 1,
                 what, value, rows);
    };
    for (const Example& example : examples)
        for (const TokenSequence& sequence : example.sequences) {
            check(example, "word piece", std::ranges::max(sequence.ids), config.vocab_size);
            check(example, "segment", std::ranges::max(sequence.types), config.type_vocab_size);
            check(example, "position", sequence.ids.size() - 1, config.max_position_embeddings);
        }
}

}  // namespace vkbert
