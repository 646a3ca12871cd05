#include "bert/tasks/records.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "bert/tasks/squad_file.hpp"
#include "bert/tasks/table_reader.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

constexpr size_t most_labels = 1024, longest_label = 128;

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Whether the file has no header: all columns that were named are numbers.
bool without_header(const Columns& columns) {
    if (columns.empty()) return false;
    return std::ranges::all_of(columns,
                               [](const auto& role) { return std::ranges::all_of(role.second, is_number); });
}

/// The name of a role's column; its own name where none was given.
std::string column_of(const Columns& columns, std::string_view role, std::string_view otherwise = {}) {
    const auto found = columns.find(role);
    return found != columns.end() ? found->second.front() : std::string(otherwise.empty() ? role : otherwise);
}

void check_value(const std::string& label, const std::string& where) {
    float value = 0;
    const auto [rest, error] = std::from_chars(label.data(), label.data() + label.size(), value);
    if (error != std::errc() || rest != label.data() + label.size() || !std::isfinite(value))
        fail(ErrorCode::invalid_input, "{}: the label is '{}', which is no number", where,
             utf8::printable(label));
}

void read_texts(const Task& task, TableReader& table, Records& records) {
    const std::string text = column_of(task.columns, "text"), label = column_of(task.columns, "label");
    const std::string pair = column_of(task.columns, "pair");
    const bool takes_pair = task.columns.contains("pair") || !task.glue;
    while (table.next()) {
        Record record;
        record.where = table.where();
        record.text = table.text(text);
        if (takes_pair && (task.columns.contains("pair") || table.has(pair))) record.pair = table.text(pair);
        record.label = table.text(label);
        if (task.kind == TaskKind::regression)
            check_value(record.label, record.where);
        else if (!task.labels.empty())
            task.label_index(record.label, record.where);
        records.rows.push_back(std::move(record));
    }
}

/// The columns of the choices: those that were named, else choice0, choice1, ... of the header.
std::vector<std::string> choice_columns(const Task& task, const TableReader& table) {
    if (const auto named = task.columns.find("choices"); named != task.columns.end()) return named->second;
    std::vector<std::string> names;
    while (table.has(fmt::format("choice{}", names.size())))
        names.push_back(fmt::format("choice{}", names.size()));
    return names;
}

void read_choices(const Task& task, TableReader& table, Records& records) {
    const std::string text = column_of(task.columns, "text"), label = column_of(task.columns, "label");
    const bool prefixed = task.columns.contains("prefix");
    while (table.next()) {
        Record record;
        record.where = table.where();
        record.text = table.text(text);
        const std::vector<std::string> columns = choice_columns(task, table);
        if (columns.size() > 1)
            for (const std::string& column : columns) record.choices.push_back(table.text(column));
        else
            record.choices = table.list(columns.empty() ? "choices" : columns.front());
        if (record.choices.size() < 2)
            fail(ErrorCode::invalid_input, "{}: {} choices; there must be two at least", record.where,
                 record.choices.size());
        if (prefixed)
            for (std::string& choice : record.choices)
                choice = table.text(column_of(task.columns, "prefix")) + " " + choice;
        record.label = table.text(label);
        uint32_t index = 0;
        const char* const end = record.label.data() + record.label.size();
        const auto [rest, error] = std::from_chars(record.label.data(), end, index);
        if (error != std::errc() || rest != end || index >= record.choices.size())
            fail(ErrorCode::invalid_input, "{}: the label is '{}', where the choices are 0 to {}",
                 record.where, utf8::printable(record.label), record.choices.size() - 1);
        records.rows.push_back(std::move(record));
    }
}

std::vector<std::string_view> split(std::string_view line, std::string_view separators, bool merge) {
    std::vector<std::string_view> fields;
    for (size_t begin = 0; begin <= line.size();) {
        const size_t end = std::min(line.find_first_of(separators, begin), line.size());
        if (end > begin || !merge) fields.push_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    return fields;
}

/// Columns of words and tags, a word a line, an empty line behind each sentence. CoNLL: the first and the
/// last column, "-DOCSTART-" lines are between documents.
class SentenceReader {
  public:
    SentenceReader(const Task& task, const std::filesystem::path& path)
        : task_(task), lines_(path), header_(!task.columns.empty() && !without_header(task.columns)) {}

    void read(Records& records) {
        for (std::string_view line; lines_.next(line);) {
            if (line.find_first_not_of(" \t") == std::string_view::npos)
                finish(records);
            else
                add(line);
        }
        finish(records);
    }

  private:
    void add(std::string_view line) {
        const auto fields = task_.conll ? split(line, " \t", true) : split(line, "\t", false);
        if (columns_ == 0) {
            columns_ = fields.size();
            find_columns(fields);
            if (header_) return;
        }
        if (fields.size() != columns_)
            fail(ErrorCode::invalid_input, "{}: {} columns, where the first line has {}", lines_.where(),
                 fields.size(), columns_);
        if (task_.conll && fields.front() == "-DOCSTART-") return;
        if (fields[word_].empty()) fail(ErrorCode::invalid_input, "{}: an empty word", lines_.where());
        if (record_.words.empty()) record_.where = lines_.where();
        record_.words.emplace_back(fields[word_]);
        record_.tags.emplace_back(fields[tag_]);
        if (!task_.labels.empty()) task_.label_index(record_.tags.back(), lines_.where());
    }
    void find_columns(const std::vector<std::string_view>& fields) {
        if (fields.size() < 2)
            fail(ErrorCode::invalid_input, "{}: one column; there must be a word and its tag",
                 lines_.where());
        const auto find = [&](std::string_view role, size_t otherwise) {
            if (!task_.columns.contains(role)) return otherwise;
            const std::string name = column_of(task_.columns, role);
            size_t index = size_t(std::ranges::find(fields, name) - fields.begin());
            if (!header_ && std::from_chars(name.data(), name.data() + name.size(), index).ec == std::errc())
                --index;
            if (index >= fields.size())
                fail(ErrorCode::invalid_input, "{}: no column \"{}\"", lines_.where(), utf8::printable(name));
            return index;
        };
        word_ = find("text", 0);
        tag_ = find("label", fields.size() - 1);
    }
    void finish(Records& records) {
        if (!record_.words.empty()) records.rows.push_back(std::move(record_));
        record_ = {};
    }

    const Task& task_;
    LineReader lines_;
    bool header_;
    size_t columns_ = 0, word_ = 0, tag_ = 0;
    Record record_;
};

void read_json_sentences(const Task& task, TableReader& table, Records& records) {
    const std::string words = column_of(task.columns, "text", "words");
    const std::string tags = column_of(task.columns, "label", "labels");
    while (table.next()) {
        Record record;
        record.where = table.where();
        record.words = table.list(words);
        record.tags = table.list(tags);
        if (record.words.empty()) fail(ErrorCode::invalid_input, "{}: no words", record.where);
        if (record.words.size() != record.tags.size())
            fail(ErrorCode::invalid_input, "{}: {} words and {} labels", record.where, record.words.size(),
                 record.tags.size());
        if (!task.labels.empty())
            for (const std::string& tag : record.tags) task.label_index(tag, record.where);
        records.rows.push_back(std::move(record));
    }
}

/// All labels of a task's records, each once.
std::set<std::string> all_labels(const Records& records) {
    std::set<std::string> labels;
    const auto add = [&](const std::string& label, const Record& record) {
        if (label.empty() || label.size() > longest_label)
            fail(ErrorCode::invalid_input, "{}: the label is '{}': is it the right column?", record.where,
                 utf8::printable(label));
        if (labels.insert(label).second && labels.size() > most_labels)
            fail(ErrorCode::invalid_input, "{}: more than {} different labels: is it the right column?",
                 record.where, most_labels);
    };
    for (const Record& record : records.rows) {
        if (record.words.empty()) add(record.label, record);
        for (const std::string& tag : record.tags) add(tag, record);
    }
    return labels;
}

}  // namespace

Records read_records(const Task& task, const std::filesystem::path& path) {
    Records records;
    records.name = path.string();
    const TableFormat format = task.glue ? TableFormat::tsv : format_of(path);
    const bool json = format == TableFormat::jsonl && !task.conll;
    if (task.squad) {
        read_squad_file(task, path, records);
    } else if (task.kind == TaskKind::tagging && !json) {
        SentenceReader(task, path).read(records);
    } else {
        TableReader table(path, format, !without_header(task.columns), task.skip_ragged);
        if (task.kind == TaskKind::tagging)
            read_json_sentences(task, table, records);
        else if (task.kind == TaskKind::choice)
            read_choices(task, table, records);
        else if (task.kind == TaskKind::answering)
            read_question_table(task, path, table, records);
        else
            read_texts(task, table, records);
        records.skipped = table.skipped();
    }
    if (records.rows.empty()) fail(ErrorCode::invalid_input, "{}: holds no examples", records.name);
    return records;
}

void learn_labels(Task& task, const Records& records) {
    if (!task.labels.empty() || (task.kind != TaskKind::classification && task.kind != TaskKind::tagging))
        return;
    const std::set<std::string> found = all_labels(records);
    const bool sentences = task.kind == TaskKind::tagging;
    if (!sentences && found.size() >= 10 && found.size() == records.rows.size())
        fail(ErrorCode::invalid_input,
             "{}: every record has a label of its own ('{}'): is it the right column?", records.name,
             utf8::printable(records.rows.front().label));
    if (found.size() < 2)
        fail(ErrorCode::invalid_input, "{}: all labels are '{}'; there must be two at least", records.name,
             utf8::printable(*found.begin()));
    task.labels.assign(found.begin(), found.end());
    if (std::ranges::all_of(task.labels, is_number))
        std::ranges::stable_sort(task.labels, {}, [](const std::string& label) { return label.size(); });
    std::ranges::stable_partition(task.labels, [](const std::string& label) { return label == "O"; });
}

}  // namespace vkbert
