#include "bert/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string_view>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

void check_lengths(size_t predicted, size_t truth) {
    if (predicted != truth)
        fail(ErrorCode::invalid_argument, "{} predictions do not fit {} labels", predicted, truth);
    if (truth == 0) fail(ErrorCode::invalid_argument, "a metric of no predictions");
}

double harmonic_mean(uint64_t right, uint64_t predicted, uint64_t truth) {
    return right == 0 ? 0 : 2 * double(right) / double(predicted + truth);
}

double mean(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
}

/// Ranks from 1, equal values sharing the average of theirs.
std::vector<double> ranks(std::span<const double> values) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t(0));
    // NaN goes last: sorting needs an order of all values.
    std::ranges::sort(order, [&](size_t a, size_t b) {
        return std::isnan(values[b]) ? !std::isnan(values[a]) : values[a] < values[b];
    });
    std::vector<double> result(values.size());
    for (size_t begin = 0; begin < order.size();) {
        size_t end = begin + 1;
        while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
        for (size_t i = begin; i < end; ++i) result[order[i]] = double(begin + 1 + end) / 2;
        begin = end;
    }
    return result;
}

}  // namespace

double accuracy(std::span<const uint32_t> predicted, std::span<const uint32_t> truth) {
    check_lengths(predicted.size(), truth.size());
    uint64_t right = 0;
    for (size_t i = 0; i < truth.size(); ++i) right += predicted[i] == truth[i];
    return double(right) / double(truth.size());
}

double f1(std::span<const uint32_t> predicted, std::span<const uint32_t> truth, uint32_t positive) {
    check_lengths(predicted.size(), truth.size());
    uint64_t right = 0;
    for (size_t i = 0; i < truth.size(); ++i) right += predicted[i] == positive && truth[i] == positive;
    return harmonic_mean(right, uint64_t(std::ranges::count(predicted, positive)),
                         uint64_t(std::ranges::count(truth, positive)));
}

double matthews_correlation(std::span<const uint32_t> predicted, std::span<const uint32_t> truth) {
    check_lengths(predicted.size(), truth.size());
    struct Counts {
        double predicted = 0, truth = 0;
    };
    std::map<uint32_t, Counts> classes;
    double right = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
        ++classes[predicted[i]].predicted;
        ++classes[truth[i]].truth;
        right += predicted[i] == truth[i];
    }
    const double all = double(truth.size());
    double covariance = right * all, variance_predicted = all * all, variance_truth = all * all;
    for (const auto& [name, counts] : classes) {
        covariance -= counts.predicted * counts.truth;
        variance_predicted -= counts.predicted * counts.predicted;
        variance_truth -= counts.truth * counts.truth;
    }
    if (variance_predicted == 0 || variance_truth == 0) return 0;
    return covariance / std::sqrt(variance_predicted) / std::sqrt(variance_truth);
}

double pearson_correlation(std::span<const double> predicted, std::span<const double> truth) {
    check_lengths(predicted.size(), truth.size());
    const double predicted_mean = mean(predicted), truth_mean = mean(truth);
    double covariance = 0, predicted_variance = 0, truth_variance = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
        const double a = predicted[i] - predicted_mean, b = truth[i] - truth_mean;
        covariance += a * b;
        predicted_variance += a * a;
        truth_variance += b * b;
    }
    if (predicted_variance == 0 || truth_variance == 0) return 0;
    return std::clamp(covariance / std::sqrt(predicted_variance) / std::sqrt(truth_variance), -1.0, 1.0);
}

double spearman_correlation(std::span<const double> predicted, std::span<const double> truth) {
    check_lengths(predicted.size(), truth.size());
    return pearson_correlation(ranks(predicted), ranks(truth));
}

double mean_squared_error(std::span<const double> predicted, std::span<const double> truth) {
    check_lengths(predicted.size(), truth.size());
    double sum = 0;
    for (size_t i = 0; i < truth.size(); ++i) sum += (predicted[i] - truth[i]) * (predicted[i] - truth[i]);
    return sum / double(truth.size());
}

std::vector<uint64_t> confusion_matrix(std::span<const uint32_t> predicted, std::span<const uint32_t> truth,
                                       uint32_t classes) {
    check_lengths(predicted.size(), truth.size());
    std::vector<uint64_t> counts(size_t(classes) * classes);
    for (size_t i = 0; i < truth.size(); ++i) {
        if (std::max(predicted[i], truth[i]) >= classes)
            fail(ErrorCode::invalid_argument, "class {} of {}", std::max(predicted[i], truth[i]), classes);
        ++counts[size_t(truth[i]) * classes + predicted[i]];
    }
    return counts;
}

EntityScores::EntityScores(const std::vector<std::string>& labels) {
    std::map<std::string_view, uint32_t> kinds;
    for (const std::string& label : labels) {
        Tag tag;
        std::string_view kind = label;
        if (label != "O") {
            const bool prefixed = label.size() > 1 && label[1] == '-' &&
                                  std::string_view("BIES").find(label[0]) != std::string_view::npos;
            tag.place = prefixed ? label[0] : 'I';
            if (prefixed) kind.remove_prefix(2);
            tag.kind = kinds.emplace(kind, uint32_t(kinds.size())).first->second;
        }
        tags_.push_back(tag);
    }
}

std::vector<EntityScores::Entity> EntityScores::entities(std::span<const uint32_t> tags) const {
    std::vector<Entity> result;
    Tag before;
    for (size_t i = 0; i < tags.size(); ++i) {
        if (tags[i] >= tags_.size()) fail(ErrorCode::invalid_argument, "tag {} of {}", tags[i], tags_.size());
        const Tag tag = tags_[tags[i]];
        const bool continues = (before.place == 'B' || before.place == 'I') &&
                               (tag.place == 'I' || tag.place == 'E') && tag.kind == before.kind;
        if (continues)
            result.back().end = i + 1;
        else if (tag.place != 'O')
            result.push_back({tag.kind, i, i + 1});
        before = tag;
    }
    return result;
}

void EntityScores::add(std::span<const uint32_t> predicted, std::span<const uint32_t> truth) {
    if (predicted.size() != truth.size())
        fail(ErrorCode::invalid_argument, "{} predicted tags do not fit {} words", predicted.size(),
             truth.size());
    const std::vector<Entity> found = entities(predicted), right = entities(truth);
    predicted_ += found.size();
    truth_ += right.size();
    for (const Entity& entity : found) right_ += std::ranges::count(right, entity);
}

double EntityScores::precision() const {
    return predicted_ == 0 ? 0 : double(right_) / double(predicted_);
}
double EntityScores::recall() const {
    return truth_ == 0 ? 0 : double(right_) / double(truth_);
}
double EntityScores::f1() const {
    return harmonic_mean(right_, predicted_, truth_);
}

}  // namespace vkbert
