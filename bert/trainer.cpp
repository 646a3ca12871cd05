#include "bert/trainer.hpp"

#include <algorithm>
#include <chrono>

#include "bert/model_files.hpp"
#include "runtime/error.hpp"

namespace vkbert {

Trainer::Trainer(Model& model, const TrainerOptions& options)
    : model_(model),
      options_(options),
      master_(model.precision() == Precision::fp16 ? std::optional<WeightArena>(model) : std::nullopt),
      gradients_(model),
      scalars_(model.device(), model.precision() == Precision::fp16 ? 65536.0f : 1.0f),
      pass_(model, gradients_, scalars_.range(), options.pass),
      optimizer_(model, master(), gradients_, scalars_, options.optimizer) {}

Trainer::Trainer(Model& model, const Checkpoint& checkpoint, const TrainerOptions& options)
    : Trainer(model, options) {
    if (master_) read_master_weights(model, *master_, checkpoint);
}

uint64_t Trainer::planned_bytes(const Capabilities& capabilities, const Config& config,
                                const ModelOptions& model, const TrainerOptions& options) {
    const int arenas = model.precision == Precision::fp16 ? 4 : 3;
    return arenas * WeightArena::planned_bytes(capabilities, config, model) + sizeof(TrainingScalars) +
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
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    Clock::duration on_device{};
    StepReport report;
    const auto pack = [&](size_t i) {
        PackedExamples packed;
        for (const uint32_t index : batch.micro_batches[i]) packed.add(examples[index], index);
        return packed;
    };
    uint64_t counted = 0;
    for (const auto& micro_batch : batch.micro_batches)
        for (const uint32_t index : micro_batch) counted += counted_losses(examples[index]);
    optimizer_.set(learning_rate, counted);
    uint32_t dropout = dropout_step();
    PackedExamples packed = pack(0), next;
    for (size_t i = 0; i < batch.micro_batches.size(); ++i) {
        report.tokens += packed.batch.tokens();
        pass_.set_input(packed, {options_.seed, dropout++});
        const auto submitted = Clock::now();
        const uint64_t ticket = pass_.submit();
        if (i + 1 < batch.micro_batches.size()) next = pack(i + 1);  // while the device works
        pass_.wait(ticket);
        on_device += Clock::now() - submitted;
        report.loss += pass_.loss_sum();
        packed = std::move(next);
    }
    const auto submitted = Clock::now();
    optimizer_.run();
    on_device += Clock::now() - submitted;
    const TrainingScalars& scalars = scalars_.host();
    report.loss /= double(std::max<uint64_t>(counted, 1));
    report.gradient_norm = scalars.gradient_norm;
    report.skipped = scalars.overflow != 0;
    report.host_seconds = std::chrono::duration<double>(Clock::now() - begin - on_device).count();
    return report;
}

}  // namespace vkbert
