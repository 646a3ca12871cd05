#include "bert/tasks/table_reader.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "bert/json_text.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

void split_tsv(std::string_view line, std::vector<std::string>& fields) {
    fields.clear();
    for (size_t begin = 0; begin <= line.size();) {
        const size_t end = std::min(line.find('\t', begin), line.size());
        fields.emplace_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
}

std::string value_text(const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

bool LineReader::next(std::string_view& line) {
    const std::string_view text(reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size());
    if (number_ == 0 && text.starts_with("\xEF\xBB\xBF")) at_ = 3;
    if (at_ >= text.size()) return false;
    const size_t end = std::min(text.find('\n', at_), text.size());
    line = text.substr(at_, end - at_);
    at_ = end + 1;
    ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (const auto bad = utf8::find_invalid(line))
        fail(ErrorCode::invalid_input, "{}: byte {} of the line is not UTF-8", where(), *bad + 1);
    return true;
}

std::string LineReader::where(size_t line) const {
    return fmt::format("{}:{}", name_, line);
}

TableFormat format_of(const std::filesystem::path& path) {
    const std::string extension = path.extension().string();
    if (extension == ".csv") return TableFormat::csv;
    return extension == ".jsonl" || extension == ".json" ? TableFormat::jsonl : TableFormat::tsv;
}

TableReader::TableReader(const std::filesystem::path& path, TableFormat format, bool header, bool skip_ragged)
    : lines_(path), format_(format), header_(header), skip_ragged_(skip_ragged) {
    if (format == TableFormat::jsonl || !header) return;
    if (!next_columns()) fail(ErrorCode::invalid_input, "{}: has no header", name());
}

bool TableReader::next() {
    if (format_ != TableFormat::jsonl) return next_columns();
    std::string_view line;
    do {
        if (!lines_.next(line)) return false;
    } while (line.find_first_not_of(" \t") == std::string_view::npos);
    first_line_ = lines_.number();
    parse_object(line);
    return true;
}

bool TableReader::next_columns() {
    std::string_view line;
    while (lines_.next(line)) {
        if (line.empty()) continue;
        first_line_ = lines_.number();
        if (format_ == TableFormat::csv)
            split_csv(line, fields_);
        else
            split_tsv(line, fields_);
        if (names_.empty()) {
            names_ = fields_;
            for (size_t i = 0; i < names_.size(); ++i) {
                if (!header_) names_[i] = std::to_string(i + 1);
                columns_.emplace(names_[i], i);
            }
        }
        if (fields_.size() == names_.size()) return true;
        if (!skip_ragged_)
            fail(ErrorCode::invalid_input, "{}: {} columns, where {} has {}", where(), fields_.size(),
                 header_ ? "the header" : "the first line", names_.size());
        ++skipped_;
    }
    return false;
}

void TableReader::split_csv(std::string_view line, std::vector<std::string>& fields) {
    fields.assign(1, {});
    bool quoted = false;
    for (size_t at = 0;; ++at) {
        if (at == line.size()) {
            if (!quoted) return;
            fields.back() += '\n';
            if (!lines_.next(line))
                fail(ErrorCode::invalid_input, "{}: a double quote that is never closed", where());
            at = size_t(-1);
            continue;
        }
        const char c = line[at];
        if (quoted && c == '"') {
            const bool doubled = at + 1 < line.size() && line[at + 1] == '"';
            if (doubled) fields.back() += line[++at];
            quoted = doubled;
        } else if (quoted || (c != '"' && c != ',')) {
            fields.back() += c;
        } else if (c == ',') {
            fields.emplace_back();
        } else {
            if (!fields.back().empty())
                fail(ErrorCode::invalid_input, "{}: a double quote inside of a field without quotes",
                     where());
            quoted = true;
        }
    }
}

void TableReader::parse_object(std::string_view line) {
    const nlohmann::json object = parse_json(line, where());
    if (!object.is_object()) fail(ErrorCode::invalid_input, "{}: no JSON object", where());
    object_.clear();
    for (const auto& [name, value] : object.items()) {
        if (value.is_null()) continue;
        Field& field = object_[name];
        field.kind = value.is_object() ? 'o' : value.is_array() ? 'l' : 't';
        if (value.is_array()) {
            for (const auto& element : value) {
                if (element.is_structured() || element.is_null()) field.kind = 'o';
                field.values.push_back(value_text(element));
            }
        } else {
            field.values.push_back(value_text(value));
        }
    }
}

bool TableReader::has(const std::string& column) const {
    return format_ == TableFormat::jsonl ? object_.contains(column) : columns_.contains(column);
}

void TableReader::missing(const std::string& column) const {
    std::vector<std::string> names = names_;
    for (const auto& [name, field] : object_) names.push_back(name);
    if (names.size() > 20) names.resize(20), names.emplace_back("...");
    fail(ErrorCode::invalid_input, "{}: no column \"{}\"; there are {}", where(), utf8::printable(column),
         utf8::printable(fmt::format("{}", fmt::join(names, ", "))));
}

const std::string& TableReader::text(const std::string& column) const {
    if (format_ != TableFormat::jsonl) {
        const auto found = columns_.find(column);
        if (found == columns_.end()) missing(column);
        return fields_[found->second];
    }
    const auto found = object_.find(column);
    if (found == object_.end()) missing(column);
    if (found->second.kind != 't')
        fail(ErrorCode::invalid_input, "{}: \"{}\" is no text", where(), utf8::printable(column));
    return found->second.values.front();
}

const std::vector<std::string>& TableReader::list(const std::string& column) const {
    const auto found = object_.find(column);
    if (found == object_.end()) missing(column);
    if (found->second.kind != 'l')
        fail(ErrorCode::invalid_input, "{}: \"{}\" is no list of texts", where(), utf8::printable(column));
    return found->second.values;
}

}  // namespace vkbert
