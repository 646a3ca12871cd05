// A model folder as transformers opens it, written from a model on a device.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "bert/model.hpp"
#include "bert/weight_arena.hpp"

namespace vkbert {

/// config.json, and the tokenizer's files as `pretrained` has them, in a folder that exists. Errors: failed.
void write_model_settings(const std::filesystem::path& pretrained, const Config& config,
                          const std::filesystem::path& folder);

/// fp32 values [first, first + out.size()) of row `row` of a parameter table.
using ReadParameter = std::function<void(size_t row, uint64_t first, std::span<float> out)>;
using WriteParameter = std::function<void(size_t row, uint64_t first, std::span<const float> values)>;

/// A safetensors file with a tensor for each row of the table, named as the row with `prefix` before it, in
/// fp32; it appears under its name only when complete. Values pass through in bounded pieces.
void write_parameters(const ParameterTable& table, const std::filesystem::path& path,
                      const std::string& prefix, const ReadParameter& read);
/// What write_parameters wrote. Errors (invalid_input): a row that is missing or has another shape.
void read_parameters(const ParameterTable& table, const std::filesystem::path& path,
                     const std::string& prefix, const WriteParameter& write);

/// Where the fp32 values of a model's weight lie: in the model, or in `master` for matrices that the model
/// has in fp16.
BufferRange fp32_range(const Model& model, const WeightArena* master, const std::string& weight);

/// The parameters of a model, in Hugging Face's spelling and fp32. master: of a half-precision model.
void write_weights(Model& model, const WeightArena* master, const std::filesystem::path& path);
/// Puts them back, bit for bit, into the master weights too.
void read_weights(Model& model, const WeightArena* master, const std::filesystem::path& path);
/// Fills the master weights of a half-precision model from the checkpoint that it was loaded from.
void read_master_weights(Model& model, const WeightArena& master, const Checkpoint& checkpoint);

}  // namespace vkbert
