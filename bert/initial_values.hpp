// Values of parameters that no checkpoint gives: new heads, random models, pre-training from nothing.
#pragma once

#include <cstdint>
#include <span>

#include "bert/parameters.hpp"

namespace vkbert {

/// Elements [first, first + out.size()) of row `row` of a table: zeros, ones, or a normal distribution of
/// standard deviation config.initializer_range cut at two standard deviations (google-research/bert,
/// modeling.py: create_initializer). A pure function of (seed, row, index), whatever the order or the pieces
/// it is asked in.
void initial_values(const ParameterTable& table, size_t row, const Config& config, uint64_t seed,
                    uint64_t first, std::span<float> out);

}  // namespace vkbert
