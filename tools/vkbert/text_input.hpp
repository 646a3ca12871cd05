// Where texts come from: arguments, a file, or standard input; as lines, JSON lines or tab-separated columns.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace vkbert::tools {

struct TextOptions {
    std::vector<std::string> texts;  // each argument is one text
    std::string pair;                // --pair: the second text of every text
    std::string input;               // --input: a file; "-" or nothing: standard input
    std::string format = "lines";    // lines, jsonl or tsv
    bool has_pair = false;
};

/// Adds TEXT..., --pair, --input and --input-format to a subcommand.
void add_text_options(CLI::App& command, TextOptions& options);

/// What one line of the input holds.
struct TextRecord {
    size_t index = 0;
    std::string where;  // "FILE:12" or "argument 2": what messages begin with
    std::string text;
    std::optional<std::string> pair;
    std::vector<std::string> choices;  // "choices", or the columns after the first
    std::string id;                    // "id", where there is one
};

/// The names of the fields in JSON lines and in the header of tab-separated columns.
struct FieldNames {
    std::string text = "text", pair = "pair";
    bool choices = false;  // records have "choices" (JSON), or every further column is one (TSV)
};

/// Reads records one at a time, so that a file may be larger than memory. Errors (invalid_input) begin with
/// the place: unreadable, not UTF-8, not JSON, a field that is missing or no text.
class TextReader {
  public:
    explicit TextReader(const TextOptions& options, FieldNames names = {});

    /// False at the end of the input.
    bool next(TextRecord& record);
    /// Bytes read and bytes in all, for progress; in all 0 when that is not known.
    uint64_t bytes_read() const { return bytes_read_; }
    uint64_t bytes_total() const { return bytes_total_; }

  private:
    struct Close {
        void operator()(std::FILE* file) const {
            if (file != stdin) std::fclose(file);
        }
    };
    void open();
    bool read_line(std::string& line);
    void parse_json_line(const std::string& line, TextRecord& record) const;
    bool parse_columns(const std::string& line, TextRecord& record);

    const TextOptions& options_;
    FieldNames names_;
    std::unique_ptr<std::FILE, Close> file_;
    std::string name_, buffer_;
    size_t buffer_at_ = 0, line_number_ = 0, index_ = 0;
    uint64_t bytes_read_ = 0, bytes_total_ = 0;
    bool end_ = false;
    int text_column_ = 0, pair_column_ = 1;
};

}  // namespace vkbert::tools
