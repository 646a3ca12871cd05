// Records of text files: lines, tab- or comma-separated columns, JSON lines. Every fault is reported with
// file and line.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/files.hpp"

namespace vkbert {

/// The lines of a file without their ends ("\n" or "\r\n") and without a byte order mark.
class LineReader {
  public:
    /// Errors (invalid_input): those of MappedFile.
    explicit LineReader(const std::filesystem::path& path) : file_(path), name_(path.string()) {}

    /// False at the end. The view lives as long as the reader. Errors (invalid_input): not UTF-8.
    bool next(std::string_view& line);
    /// "FILE:12" of the line last read.
    std::string where() const { return where(number_); }
    std::string where(size_t line) const;
    size_t number() const { return number_; }
    const std::string& name() const { return name_; }

  private:
    MappedFile file_;
    std::string name_;
    size_t at_ = 0, number_ = 0;
};

enum class TableFormat {
    tsv,    // split at tabs, no quoting: GLUE's files hold unpaired quotes
    csv,    // RFC 4180: fields in double quotes may hold commas, line breaks and doubled quotes
    jsonl,  // a JSON object a line
};
/// .csv, .jsonl and .json; everything else is TSV.
TableFormat format_of(const std::filesystem::path& path);

class TableReader {
  public:
    /// header: whether the first line of a TSV or CSV file names the columns; without, they are "1", "2", ...
    /// skip_ragged: leave records with a wrong number of columns out and count them.
    TableReader(const std::filesystem::path& path, TableFormat format, bool header, bool skip_ragged = false);

    /// The next record; empty lines are passed over. Errors (invalid_input): a number of columns that is not
    /// the header's or the first record's, broken quotes, no JSON object.
    bool next();
    /// Whether the record has the column (JSON: not null).
    bool has(const std::string& column) const;
    /// A field as text; JSON numbers and booleans as they are written. Errors (invalid_input): no such
    /// column, or a JSON list or object.
    const std::string& text(const std::string& column) const;
    /// The elements of a JSON list. Errors (invalid_input): none, or not a list.
    const std::vector<std::string>& list(const std::string& column) const;

    TableFormat format() const { return format_; }
    const std::vector<std::string>& header() const { return names_; }
    /// "FILE:12": the line where the record begins.
    std::string where() const { return lines_.where(first_line_); }
    const std::string& name() const { return lines_.name(); }
    size_t skipped() const { return skipped_; }

  private:
    struct Field {
        std::vector<std::string> values;  // one, or a list's
        char kind = 't';                  // t: text, l: list, o: object or a list of other things
    };
    bool next_columns();
    void split_csv(std::string_view line, std::vector<std::string>& fields);
    void parse_object(std::string_view line);
    [[noreturn]] void missing(const std::string& column) const;

    LineReader lines_;
    TableFormat format_;
    bool header_, skip_ragged_;
    size_t first_line_ = 0, skipped_ = 0;
    std::vector<std::string> names_;  // of the columns
    std::unordered_map<std::string, size_t> columns_;
    std::vector<std::string> fields_;      // of the record, one a column
    std::map<std::string, Field> object_;  // of the record, by name
};

}  // namespace vkbert
