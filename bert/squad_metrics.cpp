#include "bert/squad_metrics.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "bert/tokenizer/character_table.hpp"
#include "bert/tokenizer/unicode_tables.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

bool is_ascii_punctuation(uint32_t c) {
    return (c > 0x20 && c < 0x30) || (c > 0x39 && c < 0x41) || (c > 0x5A && c < 0x61) ||
           (c > 0x7A && c < 0x7F);
}
/// What Python's str.split() splits at.
bool is_python_space(uint32_t c) {
    return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}
/// \w of Python's re: no combining marks.
bool is_python_word(uint32_t c) {
    return is_word_character(c) && !unicode::contains(unicode::nonspacing_marks, c);
}

std::u32string lower_without_punctuation(std::string_view text) {
    std::u32string result;
    const char* at = text.data();
    for (const char* const end = at + text.size(); at < end;) {
        uint32_t lower[2];
        const int count = unicode::lower(utf8::decode(at), lower);
        for (int i = 0; i < count; ++i)
            if (!is_ascii_punctuation(lower[i])) result += char32_t(lower[i]);
    }
    return result;
}

/// Replaces the words a, an and the by spaces: runs of word characters, whatever stands around them.
void remove_articles(std::u32string& text) {
    for (size_t begin = 0; begin < text.size();) {
        size_t end = begin;
        while (end < text.size() && is_python_word(text[end])) ++end;
        const std::u32string_view word(text.data() + begin, end - begin);
        if (word == U"a" || word == U"an" || word == U"the")
            std::fill(text.begin() + ptrdiff_t(begin), text.begin() + ptrdiff_t(end), U' ');
        begin = std::max(end, begin + 1);
    }
}

void append_utf8(std::string& text, uint32_t code_point) {
    char bytes[4];
    text.append(bytes, utf8::encode(code_point, bytes));
}

std::vector<std::string> normalized_words(std::string_view text) {
    std::u32string characters = lower_without_punctuation(text);
    remove_articles(characters);
    std::vector<std::string> words;
    bool inside = false;
    for (const char32_t c : characters) {
        const bool space = is_python_space(c);
        if (!space && !inside) words.emplace_back();
        if (!space) append_utf8(words.back(), c);
        inside = !space;
    }
    return words;
}

struct ExactAndF1 {
    double exact = 0, f1 = 0;
};

double f1_of_words(const std::vector<std::string>& prediction, const std::vector<std::string>& answer,
                   bool empty_equal) {
    if (empty_equal && (prediction.empty() || answer.empty())) return prediction == answer ? 1 : 0;
    std::map<std::string_view, size_t> left;
    for (const std::string& word : answer) ++left[word];
    size_t same = 0;
    for (const std::string& word : prediction) {
        const auto found = left.find(word);
        if (found == left.end() || found->second == 0) continue;
        --found->second;
        ++same;
    }
    if (same == 0) return 0;
    const double precision = double(same) / double(prediction.size());
    const double recall = double(same) / double(answer.size());
    return 2 * precision * recall / (precision + recall);
}

/// The best over a question's answers; `second`: by SQuAD 2.0's rules.
ExactAndF1 best_scores(const ScoredAnswer& question, bool second) {
    const std::vector<std::string> prediction = normalized_words(question.prediction);
    std::vector<std::vector<std::string>> answers;
    for (const std::string& answer : question.answers) {
        std::vector<std::string> words = normalized_words(answer);
        if (!second || !words.empty()) answers.push_back(std::move(words));
    }
    if (second && answers.empty()) answers.emplace_back();
    ExactAndF1 best;
    for (const auto& answer : answers) {
        best.exact = std::max(best.exact, prediction == answer ? 1.0 : 0.0);
        best.f1 = std::max(best.f1, f1_of_words(prediction, answer, second));
    }
    return best;
}

struct BestThreshold {
    double score, threshold;
};

/// find_best_thresh: the threshold up to which answering pays; questions in the order of their no_answer.
BestThreshold find_best_threshold(std::span<const ScoredAnswer> questions,
                                  const std::vector<double>& scores) {
    std::vector<size_t> order(questions.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::ranges::stable_sort(
        order, [&](size_t a, size_t b) { return questions[a].no_answer < questions[b].no_answer; });
    double score = double(std::ranges::count_if(questions, [](auto& q) { return q.answers.empty(); }));
    BestThreshold best{score, 0};
    for (const size_t i : order) {
        if (!questions[i].answers.empty())
            score += scores[i];
        else if (!questions[i].prediction.empty())
            score -= 1;
        if (score > best.score) best = {score, questions[i].no_answer};
    }
    best.score *= 100 / double(questions.size());
    return best;
}

}  // namespace

std::string normalize_answer(std::string_view text) {
    std::string result;
    for (const std::string& word : normalized_words(text)) result += (result.empty() ? "" : " ") + word;
    return result;
}

double exact_match(std::string_view prediction, std::string_view answer) {
    return normalized_words(prediction) == normalized_words(answer) ? 1 : 0;
}

double token_f1(std::string_view prediction, std::string_view answer, bool empty_equal) {
    return f1_of_words(normalized_words(prediction), normalized_words(answer), empty_equal);
}

MetricValues squad1_metrics(std::span<const ScoredAnswer> questions) {
    if (questions.empty()) fail(ErrorCode::invalid_argument, "a metric of no questions");
    ExactAndF1 sum;
    for (const ScoredAnswer& question : questions) {
        if (question.answers.empty())
            fail(ErrorCode::invalid_argument, "a question without an answer in SQuAD 1.1");
        const ExactAndF1 best = best_scores(question, false);
        sum.exact += best.exact, sum.f1 += best.f1;
    }
    const double all = double(questions.size());
    return {{"exact_match", 100 * sum.exact / all}, {"f1", 100 * sum.f1 / all}};
}

MetricValues squad2_metrics(std::span<const ScoredAnswer> questions, double threshold) {
    if (questions.empty()) fail(ErrorCode::invalid_argument, "a metric of no questions");
    std::vector<double> exact, f1;  // as predicted
    ExactAndF1 sums[2];             // with the threshold, of questions without and with answers
    size_t counts[2] = {0, 0};
    for (const ScoredAnswer& question : questions) {
        const ExactAndF1 best = best_scores(question, true);
        exact.push_back(best.exact), f1.push_back(best.f1);
        const bool has_answer = !question.answers.empty(), refused = question.no_answer > threshold;
        const double refusal = has_answer ? 0 : 1;
        sums[has_answer].exact += refused ? refusal : best.exact;
        sums[has_answer].f1 += refused ? refusal : best.f1;
        ++counts[has_answer];
    }
    const double all = double(questions.size());
    MetricValues values{{"exact", 100 * (sums[0].exact + sums[1].exact) / all},
                        {"f1", 100 * (sums[0].f1 + sums[1].f1) / all},
                        {"total", all}};
    for (const int has_answer : {1, 0}) {
        if (counts[has_answer] == 0) continue;
        const std::string part = has_answer ? "HasAns_" : "NoAns_";
        const double count = double(counts[has_answer]);
        values.emplace_back(part + "exact", 100 * sums[has_answer].exact / count);
        values.emplace_back(part + "f1", 100 * sums[has_answer].f1 / count);
        values.emplace_back(part + "total", count);
    }
    const BestThreshold best_exact = find_best_threshold(questions, exact);
    const BestThreshold best_f1 = find_best_threshold(questions, f1);
    values.emplace_back("best_exact", best_exact.score);
    values.emplace_back("best_exact_thresh", best_exact.threshold);
    values.emplace_back("best_f1", best_f1.score);
    values.emplace_back("best_f1_thresh", best_f1.threshold);
    return values;
}

}  // namespace vkbert
