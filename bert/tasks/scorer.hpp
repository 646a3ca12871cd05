// From logits to the scores and predictions of a task.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bert/metrics.hpp"
#include "bert/squad_metrics.hpp"
#include "bert/tasks/dataset.hpp"

namespace vkbert {

class Scorer {
  public:
    /// Both must outlive the scorer; the data set was made with ExampleOptions::for_scoring.
    Scorer(const Task& task, const Dataset& data);

    /// The logits of one example, row-major: classification (C), regression (1), tagging (t,C), answering
    /// (t,2) with start and end, choice (choices). Examples may come in any order; one that comes again
    /// replaces itself. Throws invalid_argument for a number of logits that does not fit, and failed, naming
    /// the record, for logits that are not finite.
    void add(uint32_t example, std::span<const float> logits);

    /// The task's metrics, in their order. SQuAD's in percent, all others 0 to 1 (correlations -1 to 1).
    /// Words that max_length cut off count as predicted "O". Throws invalid_argument unless every example has
    /// been added.
    MetricValues metrics() const;
    /// The value of Task::main_metric among these; higher is better.
    double main_metric(const MetricValues& values) const;
    /// Counts of classes, row truth, column predicted, (C,C); nothing for other tasks than classification.
    std::vector<uint64_t> confusion() const;
    /// What was predicted, as text for a file. Answering: SQuAD's prediction file, {"id": "answer", ...};
    /// others one JSON object a line: {"index":0,"prediction":"positive","label":"negative"}, with numbers
    /// for regression and choice, and lists of tags for tagging.
    std::string predictions() const;

  private:
    void check_complete() const;
    std::vector<uint32_t> classes() const;  // by record
    std::vector<uint32_t> tags(size_t record, bool truth) const;
    std::vector<ScoredAnswer> answers() const;
    double class_metric(const std::string& name) const;
    double value_metric(const std::string& name) const;
    MetricValues tagging_metrics() const;
    MetricValues answering_metrics() const;

    const Task& task_;
    const Dataset& data_;
    std::vector<std::vector<float>> logits_;  // by example; regression: one; answering: all starts, all ends
    std::vector<std::vector<uint32_t>>
        best_;  // by example; classification, choice: one; tagging: one a token
};

}  // namespace vkbert
