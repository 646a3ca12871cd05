// Golden models and reference outputs as files give them; see tests/golden/README.md.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bert/batch.hpp"
#include "bert/checkpoint.hpp"
#include "bert/config.hpp"
#include "bert/session.hpp"

namespace vkbert::test {

/// A reference matrix: (rows, columns).
struct GoldenTensor {
    uint32_t rows = 0, columns = 0;
    std::vector<float> values;

    GoldenTensor rows_at(uint32_t first, uint32_t count) const;
    /// The first row of every sequence.
    GoldenTensor rows_of(const std::vector<uint32_t>& offsets) const;
    /// {probability, column} of a row's softmax, best first.
    std::vector<std::pair<double, uint32_t>> softmax_descending(uint32_t row) const;
};

/// Column `index` of a matrix, as (rows,1).
vkbert::Matrix column(const vkbert::Matrix& matrix, uint32_t index);

/// Rows of numbers.
GoldenTensor matrix_of(const nlohmann::json& rows);
nlohmann::json read_json(const std::filesystem::path& path);

/// A model folder with its expected.safetensors, or a checkpoint alone.
class Golden {
  public:
    explicit Golden(const std::filesystem::path& folder);
    Golden(Config config_, Checkpoint checkpoint_)
        : config(std::move(config_)), checkpoint(std::move(checkpoint_)) {}

    bool has(const std::string& name) const { return tensors_.contains(name); }
    /// Throws when there is no tensor of this name.
    const GoldenTensor& expected(const std::string& name) const { return tensors_.at(name); }

    Config config;
    Checkpoint checkpoint;
    Batch batch;  // of the inputs in expected.safetensors

  private:
    std::map<std::string, GoldenTensor> tensors_;
};

}  // namespace vkbert::test
