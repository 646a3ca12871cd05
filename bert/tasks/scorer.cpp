#include "bert/tasks/scorer.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>

#include "bert/answers.hpp"
#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"

namespace vkbert {

namespace {

uint32_t best_of(std::span<const float> logits) {
    return uint32_t(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

Scorer::Scorer(const Task& task, const Dataset& data)
    : task_(task), data_(data), logits_(data.examples.size()), best_(data.examples.size()) {}

void Scorer::add(uint32_t index, std::span<const float> logits) {
    const Example& example = data_.examples.at(index);
    const bool every_token = task_.kind == TaskKind::tagging || task_.kind == TaskKind::answering;
    const size_t outputs = task_.outputs(), rows = every_token ? example.tokens() : example.sequences.size();
    if (logits.size() != rows * outputs)
        fail(ErrorCode::invalid_argument, "{} logits for an example that has {} x {}", logits.size(), rows,
             outputs);
    if (!std::ranges::all_of(logits, [](float value) { return std::isfinite(value); }))
        fail(ErrorCode::failed, "{}: the model's logits are not finite",
             data_.records.rows[example.record].where);
    if (task_.kind == TaskKind::regression) return logits_[index].assign(logits.begin(), logits.end());
    if (task_.kind == TaskKind::answering) {
        logits_[index].clear();
        for (const size_t part : {0u, 1u})
            for (size_t at = part; at < logits.size(); at += 2) logits_[index].push_back(logits[at]);
        return;
    }
    std::vector<uint32_t>& best = best_[index];
    best.clear();
    const size_t step = task_.kind == TaskKind::choice ? logits.size() : outputs;
    for (size_t at = 0; at < logits.size(); at += step) best.push_back(best_of(logits.subspan(at, step)));
}

void Scorer::check_complete() const {
    for (size_t i = 0; i < data_.examples.size(); ++i)
        if (logits_[i].empty() && best_[i].empty())
            fail(ErrorCode::invalid_argument, "example {} has no prediction", i);
}

std::vector<uint32_t> Scorer::classes() const {
    std::vector<uint32_t> result;
    for (const auto& best : best_) result.push_back(best.front());
    return result;
}

std::vector<uint32_t> Scorer::tags(size_t record, bool truth) const {
    const Record& sentence = data_.records.rows[record];
    const auto outside = std::ranges::find(task_.labels, "O");
    const uint32_t missing = outside == task_.labels.end() ? 0 : uint32_t(outside - task_.labels.begin());
    std::vector<uint32_t> result;
    for (size_t w = 0; w < sentence.words.size(); ++w) {
        const uint32_t token = data_.word_tokens[record][w];
        if (truth)
            result.push_back(task_.label_index(sentence.tags[w], sentence.where));
        else
            result.push_back(token == ignored_label ? missing : best_[record][token]);
    }
    return result;
}

std::vector<ScoredAnswer> Scorer::answers() const {
    std::vector<ScoredAnswer> result;
    std::vector<AnswerWindow> windows;
    for (size_t i = 0; i < data_.examples.size(); ++i) {
        const std::span<const float> logits = logits_[i];
        windows.push_back(
            {&data_.windows[i], logits.first(logits.size() / 2), logits.last(logits.size() / 2)});
        const uint32_t index = data_.examples[i].record;
        if (i + 1 < data_.examples.size() && data_.examples[i + 1].record == index) continue;
        const Record& question = data_.records.rows[index];
        const Answer answer = find_answer(windows);
        windows.clear();
        ScoredAnswer& scored = result.emplace_back();
        for (const RightAnswer& right : question.answers) scored.answers.push_back(right.text);
        scored.prediction =
            utf8::slice(data_.records.contexts[question.context], answer.range.begin, answer.range.end);
        scored.no_answer = answer.null_margin;
    }
    return result;
}

double Scorer::class_metric(const std::string& name) const {
    std::vector<uint32_t> truth;
    for (const Example& example : data_.examples)
        truth.push_back(task_.kind == TaskKind::choice ? std::get<ChoiceLabel>(example.label).index
                                                       : std::get<ClassLabel>(example.label).index);
    if (name == "accuracy") return accuracy(classes(), truth);
    return name == "f1" ? f1(classes(), truth) : matthews_correlation(classes(), truth);
}

double Scorer::value_metric(const std::string& name) const {
    std::vector<double> predicted, truth;
    for (size_t i = 0; i < data_.examples.size(); ++i) {
        predicted.push_back(logits_[i].front());
        truth.push_back(std::get<ValueLabel>(data_.examples[i].label).value);
    }
    if (name == "pearson") return pearson_correlation(predicted, truth);
    return name == "spearman" ? spearman_correlation(predicted, truth) : mean_squared_error(predicted, truth);
}

MetricValues Scorer::tagging_metrics() const {
    EntityScores entities(task_.labels);
    uint64_t right = 0, words = 0;
    for (size_t record = 0; record < data_.record_count; ++record) {
        const std::vector<uint32_t> predicted = tags(record, false), truth = tags(record, true);
        entities.add(predicted, truth);
        for (size_t w = 0; w < truth.size(); ++w) right += predicted[w] == truth[w];
        words += truth.size();
    }
    return {{"precision", entities.precision()},
            {"recall", entities.recall()},
            {"f1", entities.f1()},
            {"accuracy", double(right) / double(words)}};
}

MetricValues Scorer::answering_metrics() const {
    const std::vector<ScoredAnswer> questions = answers();
    const bool unanswerable = std::ranges::any_of(questions, [](auto& q) { return q.answers.empty(); });
    if (!task_.unanswerable && !unanswerable) return squad1_metrics(questions);
    MetricValues values = squad2_metrics(questions);
    if (!task_.unanswerable) values.front().first = "exact_match";
    return values;
}

MetricValues Scorer::metrics() const {
    check_complete();
    if (task_.kind == TaskKind::tagging) return tagging_metrics();
    if (task_.kind == TaskKind::answering) return answering_metrics();
    MetricValues values;
    for (const std::string& name : task_.metrics)
        values.emplace_back(name,
                            task_.kind == TaskKind::regression ? value_metric(name) : class_metric(name));
    return values;
}

double Scorer::main_metric(const MetricValues& values) const {
    for (const auto& [name, value] : values)
        if (name == task_.main_metric) return value;
    fail(ErrorCode::invalid_argument, "{} is not among the metrics", task_.main_metric);
}

std::vector<uint64_t> Scorer::confusion() const {
    if (task_.kind != TaskKind::classification) return {};
    check_complete();
    std::vector<uint32_t> truth;
    for (const Example& example : data_.examples) truth.push_back(std::get<ClassLabel>(example.label).index);
    return confusion_matrix(classes(), truth, task_.outputs());
}

std::string Scorer::predictions() const {
    check_complete();
    using nlohmann::ordered_json;
    if (task_.kind == TaskKind::answering) {
        ordered_json object = ordered_json::object();
        const std::vector<ScoredAnswer> questions = answers();
        for (size_t i = 0; i < questions.size(); ++i)
            object[data_.records.rows[i].id] =
                task_.unanswerable && questions[i].no_answer > 0 ? "" : questions[i].prediction;
        return object.dump() + "\n";
    }
    std::string text;
    for (size_t i = 0; i < data_.record_count; ++i) {
        const Record& record = data_.records.rows[i];
        ordered_json line{{"index", i}, {"prediction", nullptr}, {"label", nullptr}};
        if (task_.kind == TaskKind::tagging) {
            for (const bool truth : {false, true})
                for (const uint32_t tag : tags(i, truth))
                    line[truth ? "label" : "prediction"].push_back(task_.labels[tag]);
        } else if (task_.kind == TaskKind::classification) {
            line["prediction"] = task_.labels[best_[i].front()];
            line["label"] = task_.labels[task_.label_index(record.label, record.where)];
        } else if (task_.kind == TaskKind::choice) {
            line["prediction"] = best_[i].front();
            line["label"] = std::get<ChoiceLabel>(data_.examples[i].label).index;
        } else {
            line["prediction"] = logits_[i].front();
            line["label"] = std::get<ValueLabel>(data_.examples[i].label).value;
        }
        text += line.dump() + "\n";
    }
    return text;
}

}  // namespace vkbert
