// Scores of predictions against what is right, equal to scikit-learn's, scipy's and conlleval's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vkbert {

/// Names and values in the order in which they are shown: {{"accuracy", 0.91}, {"f1", 0.93}}.
using MetricValues = std::vector<std::pair<std::string, double>>;

// Functions of two spans throw invalid_argument when these differ in length or are empty.

/// The share of predictions that are right, 0 to 1; also of multiple choice.
double accuracy(std::span<const uint32_t> predicted, std::span<const uint32_t> truth);

/// Harmonic mean of precision and recall of the class `positive`; 0 where no prediction of it is right.
double f1(std::span<const uint32_t> predicted, std::span<const uint32_t> truth, uint32_t positive = 1);

/// Matthews' correlation coefficient, of any number of classes (Gorodkin 2004), -1 to 1; 0 where either side
/// has one class only, as scikit-learn has it.
double matthews_correlation(std::span<const uint32_t> predicted, std::span<const uint32_t> truth);

/// Pearson's correlation; 0 where either side is constant (it is not defined there).
double pearson_correlation(std::span<const double> predicted, std::span<const double> truth);

/// Pearson's correlation of ranks; equal values share the average of their ranks.
double spearman_correlation(std::span<const double> predicted, std::span<const double> truth);

/// The mean of squared differences.
double mean_squared_error(std::span<const double> predicted, std::span<const double> truth);

/// Counts of classes: row `truth`, column `predicted`, (C,C) row-major. Throws invalid_argument also for a
/// class of C or above.
std::vector<uint64_t> confusion_matrix(std::span<const uint32_t> predicted, std::span<const uint32_t> truth,
                                       uint32_t classes);

/// Entity-level scores of tag sequences as conlleval counts them (CoNLL-2000 and 2003 shared tasks): an
/// entity is right when its kind, its begin and its end are. Reads BIO (every entity begins with "B-") and
/// IOB1 ("B-" only between neighbours of one kind) alike, and IOBES; other names count as the inside of an
/// entity of that name.
class EntityScores {
  public:
    /// labels: names of the tags, "O" for none; a tag is an index into them.
    explicit EntityScores(const std::vector<std::string>& labels);

    /// One sentence: a tag a word. Throws invalid_argument for lengths that differ and tags without a name.
    void add(std::span<const uint32_t> predicted, std::span<const uint32_t> truth);

    double precision() const;
    double recall() const;
    /// 0 where no entity is right.
    double f1() const;

  private:
    struct Tag {
        char place = 'O';   // B, I, E, S or O
        uint32_t kind = 0;  // index of its kind
    };
    struct Entity {
        uint32_t kind;
        size_t begin, end;
        friend bool operator==(const Entity&, const Entity&) = default;
    };
    std::vector<Entity> entities(std::span<const uint32_t> tags) const;

    std::vector<Tag> tags_;  // by label
    uint64_t predicted_ = 0, truth_ = 0, right_ = 0;
};

}  // namespace vkbert
