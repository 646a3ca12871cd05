// Scores of answers as SQuAD's official scripts compute them (evaluate-v1.1.py and evaluate-v2.0.py,
// https://rajpurkar.github.io/SQuAD-explorer/), in percent as these print them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/metrics.hpp"

namespace vkbert {

/// A question of the data set and the answer given to it.
struct ScoredAnswer {
    std::vector<std::string> answers;  // the right ones; empty: the question has no answer (SQuAD 2.0)
    std::string prediction;            // the best span's text; empty: no answer
    double no_answer = 0;              // SQuAD 2.0: how much likelier no answer is (null - best span)
};

/// Lower case, without ASCII punctuation, without the words a, an and the, single spaces. Text is valid
/// UTF-8.
std::string normalize_answer(std::string_view text);

/// 1 when both are equal after normalization, else 0.
double exact_match(std::string_view prediction, std::string_view answer);
/// F1 over the bags of words after normalization. Where either has no words (SQuAD 2.0's rule, which
/// version 1.1 lacks): `empty_equal` gives 1 if both have none.
double token_f1(std::string_view prediction, std::string_view answer, bool empty_equal);

/// SQuAD 1.1: {"exact_match", "f1"}, the best over each question's answers. Throws invalid_argument for no
/// questions and for a question without answers.
MetricValues squad1_metrics(std::span<const ScoredAnswer> questions);

/// SQuAD 2.0 with the names of evaluate-v2.0.py: exact and f1 where answers with no_answer > threshold count
/// as no answer; HasAns_ and NoAns_ parts where there are such questions; best_exact, best_f1 and their
/// thresholds (find_all_best_thresh). Throws invalid_argument for no questions.
MetricValues squad2_metrics(std::span<const ScoredAnswer> questions, double threshold = 0);

}  // namespace vkbert
