// Memory beside a model's weights: gradients, moments of the optimizer, master weights.
#pragma once

#include <map>
#include <string>

#include "bert/model.hpp"

namespace vkbert {

/// fp32 matrices of the shapes of a model's weights: gradients, moments of the optimizer, master weights.
class WeightArena {
  public:
    /// Filled with zeros. Throws invalid_argument for a model that was loaded for inference.
    explicit WeightArena(Model& model);
    BufferRange range(const std::string& weight) const { return ranges_.at(weight); }
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&);

  private:
    Arena arena_{MemoryRole::device};
    std::map<std::string, BufferRange> ranges_;
};

}  // namespace vkbert
