// The run of vkbert finetune: data, model, the loop over steps, evaluations, and what is kept of them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "bert/schedule.hpp"
#include "bert/trainer.hpp"
#include "runtime/profiler.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/progress.hpp"
#include "tools/vkbert/training_data.hpp"
#include "tools/vkbert/training_files.hpp"

namespace vkbert::tools {

struct FinetuneOptions {
    TaskOptions task;
    std::string train, eval, output, report, optimizer = "adamw", schedule = "linear";
    double epochs = 3, learning_rate = 2e-5, warmup = 0.1, weight_decay = 0.01, max_grad_norm = 1,
           layer_decay = 1;
    std::optional<float> dropout;  // in place of the three of the model's config
    uint32_t batch_size = 32, accumulate = 1, freeze = 0, patience = 0;
    uint64_t save_every = 0, eval_every = 0, max_steps = 0;
    bool recompute = false, resume = false, eval_before = false;
};

class FinetuneRun {
  public:
    FinetuneRun(const GlobalOptions& global, const FinetuneOptions& options);
    ~FinetuneRun();
    /// To the last step, or to where patience ends.
    void run();

  private:
    void load_data();
    void load_model();
    void choose_tuning();
    TrainerOptions trainer_options() const;
    EvaluationOptions evaluation_options(const TrainerOptions& trainer) const;
    uint64_t planned_bytes(const ModelOptions& model, const TrainerOptions& trainer) const;
    void fit_memory(const ModelOptions& model, TrainerOptions& trainer) const;
    void plan_steps();
    std::string settings() const;
    void resume();
    void train_step(Progress& bar);
    void check_finite(const StepReport& done);
    const Scores& score_now();
    void show(const Scores& scores);
    void evaluate();
    void save();
    void report() const;
    /// The report shows the slowest dispatches.
    bool profiles() const { return global_.profile || !options_.report.empty(); }

    const GlobalOptions& global_;
    const FinetuneOptions& options_;
    std::filesystem::path folder_;  // the pre-trained model's
    Task task_;
    Config config_;
    Dataset train_;
    std::optional<Dataset> eval_;
    std::unique_ptr<Device> device_;
    Tuning tuning_;
    std::unique_ptr<Model> model_;
    std::unique_ptr<Trainer> trainer_;
    std::unique_ptr<BatchStream> stream_;
    std::unique_ptr<Evaluation> evaluation_;
    std::unique_ptr<TrainingFolder> output_;
    LearningRate rate_;
    TrainingProgress progress_;
    uint32_t skipped_in_a_row_ = 0;
    Profile profile_;
    Scores scores_;  // of the newest evaluation
};

}  // namespace vkbert::tools
