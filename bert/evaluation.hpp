// A model's logits for a data set's examples.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "bert/batches.hpp"
#include "bert/model.hpp"
#include "bert/session.hpp"

namespace vkbert {

struct EvaluationOptions {
    uint32_t max_tokens = 4096;    // of a batch
    uint32_t max_sequences = 256;  // of a batch
    KernelChoices kernels;         // forced variants
    Tuning tuning;                 // measured choices
};

/// Runs the same examples as often as the weights change. They must outlive it, as must the model.
class Evaluation {
  public:
    /// Sizes shrink to what the device allows and the examples need; an example that is larger raises them.
    Evaluation(Model& model, std::span<const Example> examples, const EvaluationOptions& options = {});

    /// Device memory beside the model's; computed without a device.
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&,
                                  std::span<const Example> examples, const EvaluationOptions&);

    /// receive(example, logits), in the order of the examples; logits row-major: classification (C),
    /// regression (1), tagging (t,C), answering (t,2) with start and end, multiple choice (choices).
    /// Scorer::add takes them.
    void run(const std::function<void(uint32_t example, std::span<const float> logits)>& receive);

  private:
    Model& model_;
    std::span<const Example> examples_;
    BatchOptions batches_;
    std::unique_ptr<Session> session_;
};

}  // namespace vkbert
