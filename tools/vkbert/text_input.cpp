#include "tools/vkbert/text_input.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cerrno>
#include <cstring>

#include "bert/json_text.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

static constexpr size_t max_line = 1 << 30;

void add_text_options(CLI::App& command, TextOptions& options) {
    command
        .add_option("TEXT", options.texts, "Texts, each one argument; without any, --input or standard input")
        ->type_name("");
    command.add_option("--pair", options.pair, "Second text, paired with every text")
        ->type_name("TEXT")
        ->each([&options](const std::string&) { options.has_pair = true; });
    command.add_option("--input", options.input, "Read texts from this file; - is standard input")
        ->type_name("FILE");
    command
        .add_option(
            "--input-format", options.format,
            "lines: one text a line; jsonl: objects with \"text\" and \"pair\"; tsv: columns text and pair, "
            "with or without a header that names them")
        ->check(CLI::IsMember({"lines", "jsonl", "tsv"}))
        ->type_name("FORMAT")
        ->capture_default_str();
}

TextReader::TextReader(const TextOptions& options, FieldNames names)
    : options_(options), names_(std::move(names)) {
    if (!options.texts.empty() && !options.input.empty())
        fail(ErrorCode::invalid_argument, "texts come either as arguments or from --input, not both");
    if (options.texts.empty()) open();
}

void TextReader::open() {
    if (options_.input.empty() || options_.input == "-") {
        if (options_.input.empty() && isatty(STDIN_FILENO))
            fail(ErrorCode::invalid_argument,
                 "no text: give it as an argument, with --input FILE or on standard input");
        file_.reset(stdin);
        name_ = "standard input";
    } else {
        name_ = options_.input;
        file_.reset(std::fopen(name_.c_str(), "rb"));
        if (!file_) fail(ErrorCode::invalid_input, "{}: {}; check --input", name_, std::strerror(errno));
    }
    struct stat status {};
    if (fstat(fileno(file_.get()), &status) == 0) {
        if (S_ISDIR(status.st_mode))
            fail(ErrorCode::invalid_input, "{}: is a folder; --input wants a file", name_);
        if (S_ISREG(status.st_mode)) bytes_total_ = static_cast<uint64_t>(status.st_size);
    }
}

bool TextReader::read_line(std::string& line) {
    line.clear();
    while (true) {
        const size_t end = buffer_.find('\n', buffer_at_);
        if (end != std::string::npos) {
            line.append(buffer_, buffer_at_, end - buffer_at_);
            buffer_at_ = end + 1;
            break;
        }
        line.append(buffer_, buffer_at_);
        if (line.size() > max_line)
            fail(ErrorCode::invalid_input, "{}:{}: the line is longer than 1 GiB; split it", name_,
                 line_number_ + 1);
        buffer_.resize(64 << 10);
        buffer_.resize(std::fread(buffer_.data(), 1, buffer_.size(), file_.get()));
        buffer_at_ = 0;
        bytes_read_ += buffer_.size();
        if (!buffer_.empty()) continue;
        if (std::ferror(file_.get())) fail(ErrorCode::invalid_input, "{}: {}", name_, std::strerror(errno));
        if (line.empty()) return false;
        break;
    }
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (++line_number_ == 1 && line.rfind("\xEF\xBB\xBF", 0) == 0) line.erase(0, 3);
    return true;
}

bool TextReader::next(TextRecord& record) {
    record = TextRecord{};
    if (options_.has_pair) record.pair = options_.pair;
    if (!options_.texts.empty()) {
        if (index_ == options_.texts.size()) return false;
        record.where = fmt::format("argument {}", index_ + 1);
        record.text = options_.texts[index_];
    } else {
        std::string line;
        do {
            if (!read_line(line)) return false;
            record.where = fmt::format("{}:{}", name_, line_number_);
            require_utf8(line, record.where);
            if (options_.format == "lines") record.text = line;
            if (options_.format == "jsonl" && !line.empty()) parse_json_line(line, record);
        } while ((options_.format == "jsonl" && line.empty()) ||
                 (options_.format == "tsv" && !parse_columns(line, record)));
    }
    require_utf8(record.text, record.where);
    if (record.pair) require_utf8(*record.pair, record.where);
    record.index = index_++;
    return true;
}

static const std::string& text_of(const nlohmann::json& value, const std::string& where,
                                  const std::string& field) {
    if (!value.is_string()) fail(ErrorCode::invalid_input, "{}: \"{}\" is no text", where, field);
    return value.get_ref<const std::string&>();
}

void TextReader::parse_json_line(const std::string& line, TextRecord& record) const {
    const nlohmann::json object = parse_json(line, record.where);
    if (!object.is_object())
        fail(ErrorCode::invalid_input, "{}: is no JSON object; each line must be one", record.where);
    if (!object.contains(names_.text))
        fail(ErrorCode::invalid_input, "{}: has no field \"{}\"", record.where, names_.text);
    record.text = text_of(object[names_.text], record.where, names_.text);
    if (object.contains(names_.pair) && !object[names_.pair].is_null())
        record.pair = text_of(object[names_.pair], record.where, names_.pair);
    if (object.contains("id"))
        record.id = object["id"].is_string() ? object["id"].get<std::string>() : object["id"].dump();
    if (!names_.choices) return;
    if (!object.contains("choices") || !object["choices"].is_array())
        fail(ErrorCode::invalid_input, "{}: has no list \"choices\"", record.where);
    for (const auto& choice : object["choices"])
        record.choices.push_back(text_of(choice, record.where, "choices"));
}

/// False when the line is the header.
bool TextReader::parse_columns(const std::string& line, TextRecord& record) {
    std::vector<std::string> columns;
    for (size_t begin = 0; begin <= line.size();) {
        const size_t end = std::min(line.find('\t', begin), line.size());
        columns.push_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    const auto column = [&columns](const std::string& name) {
        const auto found = std::find(columns.begin(), columns.end(), name);
        return found == columns.end() ? -1 : static_cast<int>(found - columns.begin());
    };
    if (line_number_ == 1 && column(names_.text) >= 0) {
        text_column_ = column(names_.text);
        pair_column_ = column(names_.pair);
        return false;
    }
    if (static_cast<size_t>(text_column_) >= columns.size())
        fail(ErrorCode::invalid_input, "{}: has {} columns, \"{}\" is column {}", record.where,
             columns.size(), names_.text, text_column_ + 1);
    record.text = columns[static_cast<size_t>(text_column_)];
    if (names_.choices) {
        columns.erase(columns.begin() + text_column_);
        record.choices = std::move(columns);
    } else if (pair_column_ >= 0 && static_cast<size_t>(pair_column_) < columns.size()) {
        record.pair = columns[static_cast<size_t>(pair_column_)];
    }
    return true;
}

}  // namespace vkbert::tools
