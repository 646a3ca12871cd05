// AdamW over all parameters of a model, as few dispatches over the arenas that hold them.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "bert/training_pass.hpp"
#include "runtime/training_scalars.hpp"

namespace vkbert {

/// The training scalars in memory that host and device both see.
class ScalarsBuffer {
  public:
    /// PyTorch's defaults (runtime/training_scalars.hpp).
    explicit ScalarsBuffer(Device& device, float loss_scale = 1);
    /// While no run is under way: what the device left, and what it will find after flush().
    TrainingScalars& host();
    void flush() { buffer_.flush(0, sizeof(TrainingScalars)); }
    BufferRange range() { return {&buffer_, 0, sizeof(TrainingScalars)}; }

  private:
    Buffer buffer_;
};

enum class OptimizerKind : uint8_t {
    adamw,      // torch.optim.AdamW
    bert_adam,  // google-research/bert, optimization.py: no bias correction
};

struct OptimizerOptions {
    OptimizerKind kind = OptimizerKind::adamw;
    double beta1 = 0.9, beta2 = 0.999;
    double epsilon = 1e-8;  // bert_adam has 1e-6 in its source
    double weight_decay = 0.01;
    double max_grad_norm = 1;  // 0: no clipping
    /// Each layer's learning rate is this times that of the layer above; the head's is whole.
    double layer_decay = 1;
    uint32_t frozen = 0;  // TrainingPassOptions::frozen
    bool profile = false;
};

class Optimizer {
  public:
    /// All must outlive the optimizer.
    /// master: of a half-precision model, whose halves are kept equal to it; else nullptr.
    Optimizer(Model& model, const WeightArena* master, const WeightArena& gradients, ScalarsBuffer& scalars,
              const OptimizerOptions& options);
    ~Optimizer();
    Optimizer(const Optimizer&) = delete;

    /// Device memory beside the two moments; computed without a device.
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&,
                                  const OptimizerOptions&);

    /// Before the first pass of a step: the gradient will be that of the mean over `losses` labels.
    void set(double learning_rate, uint64_t losses);
    /// After its last pass: norm, clipping, update; the gradients are 0 afterwards.
    void run();

    /// Moments and counters as safetensors, "exp_avg.NAME" and "exp_avg_sq.NAME" for each parameter, and
    /// "scalars".
    void save(const std::filesystem::path& path);
    /// Continues bit for bit. Errors: invalid_input for a file of another model.
    void load(const std::filesystem::path& path);

    const WeightArena& first_moments() const { return first_; }
    const Plan& plan() const { return recording_->plan(); }
    Recording& recording() { return *recording_; }

  private:
    Model& model_;
    ScalarsBuffer& scalars_;
    WeightArena first_, second_;
    std::unique_ptr<Recording> recording_;
};

}  // namespace vkbert
