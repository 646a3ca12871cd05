// BERT's WordPiece tokenizer: the same ids and offsets as Hugging Face's fast tokenizer (BertNormalizer,
// BertPreTokenizer, WordPiece, template post-processor), for every text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/tokenizer/added_tokens.hpp"

namespace vkbert {

/// What a vocab.txt does not say. Defaults are those of Hugging Face's BertTokenizer (an uncased English
/// model).
struct TokenizerOptions {
    bool clean_text = true;
    bool handle_chinese_chars = true;        ///< "tokenize_chinese_chars": every ideograph is a word
    std::optional<bool> strip_accents = {};  ///< follows lowercase if not set
    bool lowercase = true;                   ///< "do_lower_case"
    std::string unk_token = "[UNK]";
    std::string sep_token = "[SEP]";
    std::string pad_token = "[PAD]";
    std::string cls_token = "[CLS]";
    std::string mask_token = "[MASK]";
    std::string continuing_subword_prefix = "##";
    size_t max_input_chars_per_word = 100;  ///< longer words become unk_token
    /// Added after the five tokens above (which need not be listed); new texts get the next free ids.
    std::vector<AddedToken> added_tokens = {};
    /// Words that stay whole and as they are where white space surrounds them. They must be in the
    /// vocabulary.
    std::vector<std::string> never_split = {};
    std::optional<size_t> model_max_length = {};  ///< for callers; encode() does not use it
    bool clean_up_decoded = true;                 ///< decode() removes the space before punctuation
};

/// What to shorten where a text or pair is too long.
enum class Truncation { none, longest_first, only_first, only_second };

struct EncodeOptions {
    std::optional<size_t> max_length = {};  ///< tokens, special ones included; no limit if not set
    Truncation truncation = Truncation::longest_first;
    size_t stride = 0;  ///< tokens that neighbouring windows share; only encode_windows() uses it
    bool add_special_tokens = true;
};

/// Code points [begin, end) of the input; (0, 0) for special tokens of the template.
struct TextRange {
    uint32_t begin = 0;
    uint32_t end = 0;
    friend bool operator==(const TextRange&, const TextRange&) = default;
};

/// One entry a token in every vector.
struct Encoding {
    std::vector<int32_t> ids;
    std::vector<int32_t> type_ids;
    std::vector<TextRange> offsets;
    std::vector<uint8_t> special_tokens_mask;  ///< 1: added by the template
    std::vector<int32_t> word_ids;      ///< index of the word in its text; -1 where the template added it
    std::vector<int32_t> sequence_ids;  ///< 0: text, 1: pair, -1: added by the template

    size_t size() const { return ids.size(); }
};

/// Immutable after construction: all methods may be called from several threads at once.
class Tokenizer {
  public:
    /// From a model folder. tokenizer.json decides where present, else vocab.txt; tokenizer_config.json,
    /// special_tokens_map.json and added_tokens.json add to either as transformers has it.
    /// lower_case: texts become lower case first even where those files say no such thing, and accents stay
    /// as the files have it (sentence-transformers' do_lower_case). Throws Error(invalid_input) naming the
    /// file and the fault.
    static Tokenizer from_folder(const std::filesystem::path& folder, bool lower_case = false);
    /// From a vocab.txt: one token a line, its id the line's number from 0; of equal lines the last counts.
    /// Throws Error(invalid_input) naming the file and the fault.
    static Tokenizer from_vocabulary_file(const std::filesystem::path& file,
                                          const TokenizerOptions& options = {});
    /// The same from the contents of such a file; `name` stands in messages.
    static Tokenizer from_vocabulary(std::string_view contents, const TokenizerOptions& options = {},
                                     std::string_view name = "vocabulary");
    /// From the contents of a tokenizer.json of the BERT kind; stored truncation and padding are ignored.
    /// Throws Error(invalid_input).
    static Tokenizer from_json(std::string_view contents, std::string_view name = "tokenizer.json");

    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;
    ~Tokenizer();

    /// Encodes a text or a pair into `out`, whose memory is reused. Throws Error(invalid_input) for
    /// ill-formed UTF-8 (naming the byte) and where no truncation of the kind asked for fits;
    /// Error(invalid_argument) for a max_length below the number of special tokens and for only_second
    /// without a pair.
    void encode(std::string_view text, std::optional<std::string_view> pair, const EncodeOptions& options,
                Encoding& out) const;
    Encoding encode(std::string_view text, std::optional<std::string_view> pair = std::nullopt,
                    const EncodeOptions& options = {}) const;

    /// All windows of at most max_length tokens in the order of transformers' return_overflowing_tokens: the
    /// first is what encode() gives, each next one begins `stride` tokens before the end of the one before.
    /// Throws as encode(), and Error(invalid_argument) for a stride not smaller than the room for the text.
    std::vector<Encoding> encode_windows(std::string_view text, std::optional<std::string_view> pair,
                                         const EncodeOptions& options) const;

    /// Text of ids; ids without a token are left out.
    std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = false) const;
    std::optional<std::string_view> token(int32_t id) const;
    std::optional<int32_t> id(std::string_view token) const;
    /// Highest id + 1: rows that an embedding table needs at least.
    size_t vocabulary_size() const;

    int32_t unk_id() const;
    int32_t sep_id() const;
    int32_t cls_id() const;
    std::optional<int32_t> pad_id() const;
    std::optional<int32_t> mask_id() const;
    /// Tokens that the template adds to a text or a pair.
    size_t special_token_count(bool pair) const;
    std::optional<size_t> model_max_length() const;

  private:
    struct Parts;
    friend struct TokenizerBuilder;
    explicit Tokenizer(std::unique_ptr<const Parts> parts);
    void append_sequence(std::string_view text, const char* which, size_t limit, Encoding& out) const;

    std::unique_ptr<const Parts> parts_;
};

}  // namespace vkbert
