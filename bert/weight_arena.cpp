#include "bert/weight_arena.hpp"

#include <algorithm>

#include "runtime/error.hpp"

namespace vkbert {

WeightArena::WeightArena(Model& model) {
    if (model.options().for_inference)
        fail(ErrorCode::invalid_argument, "a model loaded for inference cannot be trained");
    for (const std::string& name : model.weight_order()) {
        const Weight& w = model.weights().at(name);
        arena_.reserve(uint64_t(w.rows) * w.columns * sizeof(float));
    }
    arena_.commit(model.device());
    Uploader uploader(model.device());
    for (size_t i = 0; i < arena_.size(); ++i) {
        const BufferRange range = arena_.range(i);
        for (uint64_t at = 0; at < range.bytes; at += uploader.slot_bytes()) {
            const uint64_t bytes = std::min(uploader.slot_bytes(), range.bytes - at);
            std::ranges::fill(uploader.begin(range, at, bytes), std::byte{0});
            uploader.commit();
        }
        ranges_[model.weight_order()[i]] = range;
    }
    uploader.finish();
}

uint64_t WeightArena::planned_bytes(const Capabilities& capabilities, const Config& config,
                                    const ModelOptions& options) {
    ModelOptions single = options;
    single.precision = Precision::fp32;
    return Model::planned_bytes(capabilities, config, single);
}

}  // namespace vkbert
