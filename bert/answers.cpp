#include "bert/answers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

struct Candidate {
    double score;
    TextRange range;
};

/// Indices of the `count` largest values, largest first, ties by lower index.
std::vector<uint32_t> largest(std::span<const float> values, uint32_t count) {
    std::vector<uint32_t> order(values.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto middle = order.begin() + ptrdiff_t(std::min<size_t>(count, order.size()));
    std::ranges::partial_sort(order, middle, [&](uint32_t a, uint32_t b) {
        return values[a] != values[b] ? values[a] > values[b] : a < b;
    });
    order.erase(middle, order.end());
    return order;
}

void add_candidates(const AnswerWindow& window, const AnswerOptions& options,
                    std::vector<Candidate>& candidates) {
    const Encoding& encoding = *window.encoding;
    const std::vector<uint32_t> ends = largest(window.end, options.best);
    for (const uint32_t start : largest(window.start, options.best)) {
        if (encoding.sequence_ids[start] != 1) continue;
        for (const uint32_t end : ends)
            if (encoding.sequence_ids[end] == 1 && start <= end && end - start < options.longest_answer)
                candidates.push_back({double(window.start[start]) + double(window.end[end]),
                                      {encoding.offsets[start].begin, encoding.offsets[end].end}});
    }
}

}  // namespace

Answer find_answer(std::span<const AnswerWindow> windows, const AnswerOptions& options) {
    std::vector<Candidate> candidates;
    double null_score = std::numeric_limits<double>::infinity();
    for (const AnswerWindow& window : windows) {
        const size_t tokens = window.encoding->size();
        if (tokens == 0 || window.start.size() != tokens || window.end.size() != tokens)
            fail(ErrorCode::invalid_argument, "{} start and {} end logits do not fit a window of {} tokens",
                 window.start.size(), window.end.size(), tokens);
        add_candidates(window, options, candidates);
        null_score = std::min(null_score, double(window.start[0]) + double(window.end[0]));
    }
    std::ranges::stable_sort(candidates,
                             [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    if (candidates.size() > options.best) candidates.resize(options.best);
    const bool with_null = options.null_threshold.has_value() && !windows.empty();
    if (candidates.empty()) return {false, {}, with_null ? 1.0 : 0.0, 0.0};

    const double best = candidates.front().score;
    const double top = with_null ? std::max(best, null_score) : best;
    double sum = with_null ? std::exp(null_score - top) : 0;
    for (const Candidate& candidate : candidates) sum += std::exp(candidate.score - top);
    if (with_null && null_score - best > *options.null_threshold)
        return {false, {}, std::exp(null_score - top) / sum, null_score - best};
    return {true, candidates.front().range, std::exp(best - top) / sum, null_score - best};
}

}  // namespace vkbert
