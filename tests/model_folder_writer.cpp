// A pre-trained model's folder as it would be after fine-tuning on a task, but for the training: what
// tests/parity/round_trip.py opens in transformers.
//   model_folder_writer PRETRAINED TASK OUTPUT
#include <cstdio>
#include <exception>
#include <filesystem>

#include "bert/checkpoint.hpp"
#include "bert/initial_values.hpp"
#include "bert/model_files.hpp"
#include "bert/tasks/task.hpp"

int main(int count, char** arguments) try {
    using namespace vkbert;
    if (count != 4) throw std::runtime_error("model_folder_writer PRETRAINED TASK OUTPUT");
    const std::filesystem::path pretrained = arguments[1], output = arguments[3];
    Task task = make_task(arguments[2]);
    if (task.kind == TaskKind::tagging) task.labels = {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"};
    const Config config = trained_config(read_config(pretrained), task);
    const Checkpoint checkpoint = Checkpoint::open(pretrained);
    const ParameterTable table(config, task.head());
    const ParameterSources sources = match_parameters(table, checkpoint, MissingHead::initialise);
    std::filesystem::create_directories(output);
    write_model_settings(pretrained, config, output);
    write_parameters(table, output / "model.safetensors", "",
                     [&](size_t row, uint64_t first, std::span<float> out) {
                         if (sources.tensors[row])
                             checkpoint.read(*sources.tensors[row], first, out);
                         else
                             initial_values(table, row, config, 1, first, out);
                     });
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
