#include "tools/vkbert/training_files.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <vector>

#include "bert/model_files.hpp"
#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert::tools {

namespace {

constexpr std::string_view prefix = "checkpoint-";
constexpr const char* metrics_name = "metrics.jsonl";

/// The step of a checkpoint folder's name.
std::optional<uint64_t> step_of(const std::filesystem::path& folder) {
    const std::string name = folder.filename().string();
    if (!name.starts_with(prefix)) return std::nullopt;
    uint64_t step = 0;
    const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(begin, end, step);
    return error == std::errc() && rest == end ? std::optional(step) : std::nullopt;
}

nlohmann::json to_json(const TrainingProgress& p) {
    return {{"step", p.step},         {"epoch", p.position.epoch},        {"index", p.position.index},
            {"best", p.best},         {"best_step", p.best_step},         {"worse", p.worse},
            {"settings", p.settings}, {"metrics_bytes", p.metrics_bytes}, {"tuning", p.tuning}};
}

TrainingProgress from_json(const std::filesystem::path& path) {
    try {
        const nlohmann::json json = nlohmann::json::parse(read_text_file(path, 2 * Tuning::most_bytes));
        TrainingProgress p;
        p.step = json.at("step"), p.position.epoch = json.at("epoch"), p.position.index = json.at("index");
        p.best = json.at("best"), p.best_step = json.at("best_step"), p.worse = json.at("worse");
        p.settings = json.at("settings"), p.metrics_bytes = json.at("metrics_bytes");
        p.tuning = json.value("tuning", "");  // older checkpoints are of runs without
        return p;
    } catch (const nlohmann::json::exception& error) {
        fail(ErrorCode::invalid_input, "{}: {}", path.string(), error.what());
    }
}

void write_file(const std::filesystem::path& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

}  // namespace

TrainingFolder::TrainingFolder(std::filesystem::path path, bool resume) : path_(std::move(path)) {
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    if (error) fail(ErrorCode::failed, "--output: {}: {}", path_.string(), error.message());
    for (const auto& entry :
         std::filesystem::directory_iterator(path_))  // what a run that died left unfinished
        if (const auto kind = entry.path().extension(); kind == ".part" || kind == ".tmp")
            std::filesystem::remove_all(entry.path());
    if (!resume && (!checkpoint().empty() || std::filesystem::exists(path_ / metrics_name)))
        fail(ErrorCode::invalid_input, "--output: {} has a training run already; --resume goes on with it",
             path_.string());
}

void TrainingFolder::begin(const std::filesystem::path& pretrained, const Config& config) {
    write_model_settings(pretrained, config, path_);
    metrics_.emplace(path_ / metrics_name);
    metrics_->cut(0);  // of a run that died before its first checkpoint
}

void TrainingFolder::write_metrics(std::string line) {
    metrics_->write(line);
}

void TrainingFolder::write_model(Trainer& trainer) {
    write_weights(trainer.model(), trainer.master(), path_ / "model.safetensors");
}

std::filesystem::path TrainingFolder::checkpoint() const {
    std::filesystem::path newest;
    uint64_t most = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path_, error))
        if (const auto step = step_of(entry.path()); step && (newest.empty() || *step > most))
            newest = entry.path(), most = *step;
    return newest;
}

void TrainingFolder::write_checkpoint(Trainer& trainer, TrainingProgress progress) {
    progress.metrics_bytes = metrics_->size();
    const std::string name = fmt::format("{}{}", prefix, progress.step);
    const std::filesystem::path temporary = path_ / (name + ".part"), target = path_ / name;
    std::filesystem::remove_all(temporary);
    std::filesystem::create_directory(temporary);
    write_weights(trainer.model(), trainer.master(), temporary / "model.safetensors");
    trainer.save(temporary);
    write_file(temporary / "progress.json", to_json(progress).dump(2) + "\n");
    metrics_->sync();
    rename_folder(temporary, target);
    const std::filesystem::directory_iterator begin(path_);
    for (const auto& entry : std::vector<std::filesystem::directory_entry>(begin, {}))
        if (const auto step = step_of(entry.path()); step && *step < progress.step) {
            // Under another name first: what is called a checkpoint is whole, also when a run dies here.
            std::filesystem::path dying = entry.path();
            dying += ".part";
            std::filesystem::remove_all(dying);
            rename_folder(entry.path(), dying);
            std::filesystem::remove_all(dying);
        }
}

TrainingProgress TrainingFolder::progress() const {
    return from_json(checkpoint() / "progress.json");
}

TrainingProgress TrainingFolder::restore(Trainer& trainer) {
    const std::filesystem::path folder = checkpoint();
    TrainingProgress progress = this->progress();
    read_weights(trainer.model(), trainer.master(), folder / "model.safetensors");
    trainer.load(folder);
    metrics_.emplace(path_ / metrics_name);
    if (metrics_->size() < progress.metrics_bytes)
        fail(ErrorCode::invalid_input, "{}: shorter than when the checkpoint was written",
             (path_ / metrics_name).string());
    metrics_->cut(progress.metrics_bytes);
    return progress;
}

}  // namespace vkbert::tools
