#include "bert/trainer.hpp"

#include <algorithm>

#include "runtime/error.hpp"

namespace vkbert {

Trainer::Trainer(Model& model, const TrainerOptions& options)
    : model_(model),
      options_(options),
      gradients_(model),
      scalars_(model.device()),
      pass_(model, gradients_, scalars_.range(), options.pass),
      optimizer_(model, gradients_, scalars_, options.optimizer) {}

uint64_t Trainer::planned_bytes(const Capabilities& capabilities, const Config& config,
                                const ModelOptions& model, const TrainerOptions& options) {
    return 3 * WeightArena::planned_bytes(capabilities, config, model) + sizeof(TrainingScalars) +
           TrainingPass::planned_bytes(capabilities, config, model, options.pass) +
           Optimizer::planned_bytes(capabilities, config, model, options.optimizer);
}

uint32_t Trainer::dropout_step() {
    // Room for 4,096 micro-batches a step; after 2^20 steps masks come again.
    return (scalars_.host().applied_steps + scalars_.host().skipped_steps) << 12;
}

void Trainer::save(const std::filesystem::path& folder) {
    optimizer_.save(folder / "optimizer.safetensors");
}

void Trainer::load(const std::filesystem::path& folder) {
    optimizer_.load(folder / "optimizer.safetensors");
}

StepReport Trainer::step(std::span<const Example> examples, const ExampleBatch& batch, double learning_rate) {
    std::vector<PackedExamples> packed(batch.micro_batches.size());
    StepReport report;
    uint64_t counted = 0;
    for (size_t i = 0; i < packed.size(); ++i) {
        for (const uint32_t index : batch.micro_batches[i]) packed[i].add(examples[index], index);
        counted += counted_losses(packed[i]);
        report.tokens += packed[i].batch.tokens();
    }
    optimizer_.set(learning_rate, counted);
    uint32_t step = dropout_step();
    for (const PackedExamples& micro_batch : packed) {
        pass_.set_input(micro_batch, {options_.seed, step++});
        pass_.wait(pass_.submit());
        report.loss += pass_.loss_sum();
    }
    optimizer_.run();
    const TrainingScalars& scalars = scalars_.host();
    report.loss /= double(std::max<uint64_t>(counted, 1));
    report.gradient_norm = scalars.gradient_norm;
    report.skipped = scalars.overflow != 0;
    return report;
}

}  // namespace vkbert
