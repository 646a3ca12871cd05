// What a training run leaves in its output folder: the model (the best so far), metrics.jsonl, and the newest
// checkpoint to resume from. At every moment the folder holds one whole checkpoint, once the first is
// written.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "bert/batches.hpp"
#include "bert/model.hpp"
#include "bert/trainer.hpp"
#include "runtime/files.hpp"

namespace vkbert::tools {

/// Where a run stands.
struct TrainingProgress {
    uint64_t step = 0;           // optimizer steps done
    DataPosition position;       // of the next batch
    double best = 0;             // the main metric of the best evaluation
    uint64_t best_step = 0;      // 0: none yet
    uint32_t worse = 0;          // evaluations since
    uint64_t metrics_bytes = 0;  // of metrics.jsonl
    std::string settings;        // what must not change between runs, as JSON
    std::string tuning;          // Tuning::text() of the run; empty: it has none
};

class TrainingFolder {
  public:
    /// Makes the folder. Errors: invalid_input when it holds a run already and `resume` is not asked for.
    TrainingFolder(std::filesystem::path path, bool resume);

    /// Files that the model's folder needs beside the weights: config.json and the tokenizer's.
    void begin(const std::filesystem::path& pretrained, const Config& config);
    /// One line of metrics.jsonl, on the disk before the next checkpoint.
    void write_metrics(std::string line);
    /// The weights as they are now become the model of the folder.
    void write_model(Trainer& trainer);
    /// checkpoint-STEP, and the ones before it go.
    void write_checkpoint(Trainer& trainer, TrainingProgress progress);
    /// The newest whole checkpoint, or empty.
    std::filesystem::path checkpoint() const;
    /// What the newest checkpoint says, which there must be. Errors: invalid_input.
    TrainingProgress progress() const;
    /// Weights, optimizer and progress as the checkpoint has them; metrics.jsonl is cut to what it knew.
    TrainingProgress restore(Trainer& trainer);

  private:
    std::filesystem::path path_;
    std::optional<AppendedFile> metrics_;
};

}  // namespace vkbert::tools
