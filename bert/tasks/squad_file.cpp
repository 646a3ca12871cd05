#include "bert/tasks/squad_file.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "bert/json_text.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

using nlohmann::json;

constexpr uint64_t largest_file = uint64_t(2) << 30;

void check_answers(const Record& record, std::string_view context) {
    for (const RightAnswer& answer : record.answers) {
        if (answer.text.empty()) fail(ErrorCode::invalid_input, "{}: an empty answer", record.where);
        const std::string_view there =
            utf8::slice(context, answer.begin, answer.begin + utf8::count(answer.text));
        if (there != answer.text)
            fail(ErrorCode::invalid_input, "{}: the context has '{}' at character {}, not the answer '{}'",
                 record.where, utf8::printable(there), answer.begin, utf8::printable(answer.text));
    }
}

void add_record(const Task& task, Record record, Records& records) {
    if (record.answers.empty() && !task.unanswerable && task.squad)
        fail(ErrorCode::invalid_input, "{}: has no answer; task squad2 takes such questions", record.where);
    check_answers(record, records.contexts[record.context]);
    records.rows.push_back(std::move(record));
}

void add_context(Records& records, std::string context) {
    if (records.contexts.empty() || records.contexts.back() != context)
        records.contexts.push_back(std::move(context));
}

std::vector<RightAnswer> read_answers(const json& list) {
    std::vector<RightAnswer> answers;
    if (list.is_object()) {  // as the data sets library has it: a list of texts and one of starts
        const json &texts = list.at("text"), &starts = list.at("answer_start");
        for (size_t i = 0; i < texts.size(); ++i)
            answers.push_back({texts.at(i).get<std::string>(), starts.at(i).get<uint32_t>()});
        return answers;
    }
    for (const json& answer : list)
        answers.push_back({answer.at("text").get<std::string>(), answer.at("answer_start").get<uint32_t>()});
    return answers;
}

// Takes `work`'s JSON errors (a field that is missing or of another type) for bad input.
template <typename Work>
void reading(const std::string& where, Work&& work) {
    try {
        work();
    } catch (const json::exception& error) {
        std::string reason = error.what();
        if (const size_t end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
        fail(ErrorCode::invalid_input, "{}: is not in SQuAD's format: {}", where, utf8::printable(reason));
    }
}

void read_json_questions(const Task& task, const std::filesystem::path& path, Records& records) {
    LineReader lines(path);
    const auto column = [&](std::string_view role, const char* otherwise) {
        const auto found = task.columns.find(role);
        return found != task.columns.end() ? found->second.front() : otherwise;
    };
    const std::string question = column("text", "question"), context = column("context", "context");
    const std::string id = column("id", "id"), answers = column("answer", "answers");
    for (std::string_view line; lines.next(line);) {
        if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
        const json object = parse_json(line, lines.where());
        reading(lines.where(), [&] {
            Record record;
            record.where = lines.where();
            record.text = object.at(question);
            add_context(records, object.at(context));
            record.context = uint32_t(records.contexts.size() - 1);
            record.id =
                object.contains(id) ? object[id].get<std::string>() : std::to_string(records.rows.size());
            record.answers = read_answers(object.at(answers));
            add_record(task, std::move(record), records);
        });
    }
}

}  // namespace

void read_squad_file(const Task& task, const std::filesystem::path& path, Records& records) {
    const json file = read_json_object(path, largest_file);
    std::unordered_set<std::string> ids;
    const auto read_question = [&](const json& qa) {
        Record record;
        record.id = qa.at("id");
        record.where = fmt::format("{}: question {}", path.string(), utf8::printable(record.id));
        if (!ids.insert(record.id).second) fail(ErrorCode::invalid_input, "{}: is there twice", record.where);
        record.text = qa.at("question");
        record.context = uint32_t(records.contexts.size() - 1);
        if (!task.unanswerable || !qa.value("is_impossible", false))
            record.answers = read_answers(qa.at("answers"));
        add_record(task, std::move(record), records);
    };
    reading(path.string(), [&] {
        for (const auto& article : file.at("data"))
            for (const auto& paragraph : article.at("paragraphs")) {
                add_context(records, paragraph.at("context"));
                for (const auto& qa : paragraph.at("qas")) read_question(qa);
            }
    });
}

void read_question_table(const Task& task, const std::filesystem::path& path, TableReader& table,
                         Records& records) {
    if (table.format() == TableFormat::jsonl) return read_json_questions(task, path, records);
    const auto column = [&](std::string_view role, const char* otherwise) {
        const auto found = task.columns.find(role);
        return found != task.columns.end() ? found->second.front() : std::string(otherwise);
    };
    const std::string id = column("id", "id");
    while (table.next()) {
        Record record;
        record.where = table.where();
        record.text = table.text(column("text", "question"));
        add_context(records, table.text(column("context", "context")));
        record.context = uint32_t(records.contexts.size() - 1);
        record.id = table.has(id) ? table.text(id) : std::to_string(records.rows.size());
        const std::string &answer = table.text(column("answer", "answer")),
                          &begin = table.text(column("begin", "begin"));
        if (!answer.empty()) {
            RightAnswer right{answer, 0};
            const char* const end = begin.data() + begin.size();
            const auto [rest, error] = std::from_chars(begin.data(), end, right.begin);
            if (error != std::errc() || rest != end)
                fail(ErrorCode::invalid_input,
                     "{}: the answer begins at '{}', which is no number of characters", record.where,
                     utf8::printable(begin));
            record.answers.push_back(std::move(right));
        }
        add_record(task, std::move(record), records);
    }
}

}  // namespace vkbert
