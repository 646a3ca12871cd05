// A BERT checkpoint on a device: the configuration, and every parameter in few big blocks of device memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bert/config.hpp"
#include "bert/parameters.hpp"
#include "runtime/buffer.hpp"
#include "runtime/pipelines.hpp"

namespace vkbert {

enum class Precision : uint8_t {
    fp32,  // everything
    fp16,  // matrices and activations stored as fp16; arithmetic, vectors, statistics and logits fp32
};

struct ModelOptions {
    Precision precision = Precision::fp32;
    /// The output layer to load; Head::none loads none even where the checkpoint has one.
    Head head = Head::none;
    /// Load the pooler ([CLS] -> dense -> tanh) too. Heads that need it load it in any case.
    bool pooler = false;
    /// The checkpoint has an encoder only: sessions then start from given embeddings
    /// (SessionOptions::from_embeddings).
    bool without_embeddings = false;
    /// For fine-tuning: parameters of head and pooler that the checkpoint lacks are drawn at random by
    /// `seed`.
    MissingHead missing_head = MissingHead::error;
    uint64_t seed = 0;
    /// Keep weights as the device's fastest matmul reads them, where that is not row by row (fp32 on some CPU
    /// drivers: ops::Strips). Sessions compute the same; such a model is not trained and not written to
    /// files, and a forced variant (SessionOptions::kernels) that wants rows is passed over.
    bool for_inference = false;
    /// Called now and then while loading with (bytes done, bytes in all).
    std::function<void(uint64_t, uint64_t)> progress;
};

/// A parameter, or parameters that kernels use as one, in device memory.
struct Weight {
    BufferRange range;
    uint32_t rows = 0, columns = 0;  // of the matrix; vectors are one row
    Type type = Type::fp32;
    bool in_strips = false;  // range holds ops::strips_of(rows, columns)
    uint64_t bytes() const;
};

/// By Hugging Face's names without the `bert.` prefix. The three projections of a layer are one:
/// "encoder.layer.N.attention.self.qkv.weight" (3H,H) and ".bias" (1,3H).
using WeightTable = std::map<std::string, Weight, std::less<>>;

/// The weights that a model of these options has on such a device, without memory.
WeightTable weight_table(const Capabilities&, const Config&, const ModelOptions&);

class Model {
  public:
    /// Loads a checkpoint folder's parameters (bert/checkpoint.hpp). Throws invalid_input on a checkpoint
    /// that does not fit the configuration, out_of_memory when the device cannot hold it.
    static std::unique_ptr<Model> load(Device&, const Config&, const Checkpoint&, const ModelOptions& = {});
    /// Random parameters by seed, for benchmarks and tests.
    static std::unique_ptr<Model> random(Device&, const Config&, uint64_t seed, const ModelOptions& = {});

    const Config& config() const { return config_; }
    Head head() const { return options_.head; }
    Precision precision() const { return options_.precision; }
    const ModelOptions& options() const { return options_; }
    Device& device() { return device_; }
    PipelineCache& pipelines() { return pipelines_; }
    Type storage_type() const { return options_.precision == Precision::fp16 ? Type::fp16 : Type::fp32; }

    const WeightTable& weights() const { return weights_; }
    /// Names of the weights in the order in which they lie in memory: those that decay first.
    const std::vector<std::string>& weight_order() const { return order_; }
    const ParameterTable& parameters() const { return table_; }
    /// Where row `row` of parameters() lies: in which weight, and from which of its elements on.
    struct Place {
        std::string weight;
        uint64_t first = 0;
    };
    /// Throws invalid_argument for a model that was loaded for inference.
    const Place& place(size_t row) const;
    /// Bytes of device memory the parameters take, without loading anything.
    static uint64_t planned_bytes(const Capabilities&, const Config&, const ModelOptions&);

  private:
    Model(Device& device, const Config& config, const ModelOptions& options);
    using Fill = std::function<void(size_t row, uint64_t first, std::span<std::byte> target, Type type)>;
    class Writer;
    void fill(const Fill& fill);

    Device& device_;
    Config config_;
    const ModelOptions options_;
    const ParameterTable table_;
    std::vector<std::string> order_;
    std::vector<Place> places_;
    PipelineCache pipelines_;
    Arena arena_{MemoryRole::device};
    WeightTable weights_;
};

}  // namespace vkbert
