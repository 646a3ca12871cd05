#include "bert/tokenizer/json_vocabulary.hpp"

#include <limits>

#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {
namespace {

using Json = nlohmann::json;

/// Builds the tree from the parser's events, except below model.vocab.
class Reader final : public nlohmann::json_sax<Json> {
  public:
    Reader(TokenizerJson& out, std::string_view name) : out_(out), name_(name) {}

    bool null() override { return put(nullptr); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(number_integer_t value) override { return put(value); }
    bool number_unsigned(number_unsigned_t value) override {
        if (!in_vocabulary()) return put(value);
        if (value > static_cast<number_unsigned_t>(std::numeric_limits<int32_t>::max())) reject_id();
        out_.vocabulary.push_back({out_.texts.size(), key_.size(), static_cast<int32_t>(value)});
        out_.texts += key_;
        return true;
    }
    bool number_float(number_float_t value, const string_t&) override { return put(value); }
    bool string(string_t& value) override { return put(std::move(value)); }
    bool binary(binary_t& value) override { return put(std::move(value)); }
    bool start_object(size_t) override { return open(Json::object()); }
    bool end_object() override { return close(); }
    bool start_array(size_t) override { return open(Json::array()); }
    bool end_array() override { return close(); }
    bool key(string_t& value) override {
        key_ = std::move(value);
        return true;
    }
    bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
        fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", name_, error.what());
    }

  private:
    bool in_vocabulary() const { return vocabulary_depth_ != 0 && open_.size() == vocabulary_depth_; }

    [[noreturn]] void reject_id() const {
        fail(ErrorCode::invalid_input, "{}: the id of token \"{}\" is not a number in range", name_,
             utf8::printable(key_));
    }

    Json* place(Json&& value) {
        if (open_.empty()) {
            out_.root = std::move(value);
            return &out_.root;
        }
        if (open_.back()->is_array()) return &open_.back()->emplace_back(std::move(value));
        Json& member = (*open_.back())[key_];
        member = std::move(value);
        return &member;
    }

    bool put(Json&& value) {
        if (in_vocabulary()) reject_id();
        place(std::move(value));
        return true;
    }

    bool open(Json&& value) {
        if (in_vocabulary()) reject_id();
        const bool object = value.is_object();
        open_.push_back(place(std::move(value)));
        if (open_.size() == 2) in_model_ = object && key_ == "model" && open_[0]->is_object();
        if (open_.size() == 3 && in_model_ && object && key_ == "vocab") vocabulary_depth_ = 3;
        return true;
    }

    bool close() {
        if (in_vocabulary()) vocabulary_depth_ = 0;
        open_.pop_back();
        return true;
    }

    TokenizerJson& out_;
    std::string_view name_;
    std::vector<Json*> open_;  // objects and arrays around the current position
    std::string key_;
    bool in_model_ = false;
    size_t vocabulary_depth_ = 0;  // of model.vocab while inside
};

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view contents, std::string_view name) {
    TokenizerJson result;
    Reader reader(result, name);
    Json::sax_parse(contents, &reader);
    return result;
}

}  // namespace vkbert
