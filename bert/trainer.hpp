// Fine-tuning: optimizer steps over batches of examples. Devlin et al. 2018, section 4 and appendix A.3.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "bert/batches.hpp"
#include "bert/optimizer.hpp"
#include "bert/training_pass.hpp"

namespace vkbert {

struct TrainerOptions {
    TrainingPassOptions pass;
    OptimizerOptions optimizer;
    uint64_t seed = 0;  // of dropout
};

/// What one optimizer step did.
struct StepReport {
    double loss = 0;           // mean over the step's labels
    double gradient_norm = 0;  // before clipping
    uint64_t tokens = 0;
    double host_seconds = 0;  // of the step, while the device had nothing to do
    bool skipped = false;     // the gradient was not finite: fp16 with too large a loss scale
};

class Trainer {
  public:
    /// The model is trained in place; it must outlive the trainer and have a head with a loss. A
    /// half-precision model trains mixed: activations and their gradients in fp16, master weights from
    /// `checkpoint`, which it was loaded from, and a dynamic loss scale (Micikevicius et al. 2018).
    Trainer(Model& model, const Checkpoint& checkpoint, const TrainerOptions& options);
    /// For a model in fp32.
    Trainer(Model& model, const TrainerOptions& options);

    /// Device memory of a trainer, beside the model's; computed without a device.
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&,
                                  const TrainerOptions&);

    /// One update from a batch's micro-batches: their gradients add up to that of the mean loss over all
    /// labels.
    StepReport step(std::span<const Example> examples, const ExampleBatch& batch, double learning_rate);

    /// Everything that the next step depends on, beside weights and data: the optimizer's moments and
    /// counters, and where dropout stands. A file each (Optimizer::save) in a folder that exists.
    void save(const std::filesystem::path& folder);
    /// Continues bit for bit. Errors: invalid_input for a state of another model.
    void load(const std::filesystem::path& folder);

    Model& model() { return model_; }
    /// Of a half-precision model, else nullptr.
    const WeightArena* master() const { return master_ ? &*master_ : nullptr; }
    TrainingPass& pass() { return pass_; }
    Optimizer& optimizer() { return optimizer_; }

  private:
    uint32_t dropout_step();

    Model& model_;
    TrainerOptions options_;
    std::optional<WeightArena> master_;
    WeightArena gradients_;
    ScalarsBuffer scalars_;
    TrainingPass pass_;
    Optimizer optimizer_;
};

}  // namespace vkbert
