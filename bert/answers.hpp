// Answers to a question from the start and end logits of all windows of its context.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bert/tokenizer/tokenizer.hpp"

namespace vkbert {

struct AnswerOptions {
    uint32_t best = 20;            // candidates kept, and starts and ends tried in each window
    uint32_t longest_answer = 30;  // tokens
    /// SQuAD 2.0: no answer when the null answer's score is more than this above the best span's. Not set:
    /// always answer.
    std::optional<double> null_threshold = {};
};

struct Answer {
    bool answered = false;  // false: the null answer, or no span at all
    TextRange range;        // code points of the context; {0, 0} when not answered
    double score = 0;       // probability among the candidates, the null answer with them where it counts
    /// The null answer's logits less the best span's: what null_threshold is compared with. 0 where there is
    /// no span at all.
    double null_margin = 0;
};

/// One window: [CLS] question [SEP] part of the context [SEP], and its logits, (tokens) each.
struct AnswerWindow {
    const Encoding* encoding = nullptr;
    std::span<const float> start, end;
};

/// The best span over all windows by start + end logit (Devlin et al. 2018, section 4.2). The null answer is
/// [CLS] to [CLS], its score the lowest of any window (section 4.3). Throws invalid_argument when sizes do
/// not fit.
Answer find_answer(std::span<const AnswerWindow> windows, const AnswerOptions& options = {});

}  // namespace vkbert
