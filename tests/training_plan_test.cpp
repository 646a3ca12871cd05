// Plans of training passes for a device that exists only as data: what may run side by side.
#include <gtest/gtest.h>

#include "bert/training_graph.hpp"

namespace vkbert {
namespace {

Capabilities large_gpu() {
    Capabilities c;
    c.device_class = DeviceClass::discrete;
    c.max_invocations = c.max_workgroup_size[0] = 1024;
    c.max_shared_memory = 65536;
    c.max_storage_buffers = 16;
    c.subgroup_size = c.min_subgroup_size = c.max_subgroup_size = 32;
    c.subgroup_basic = c.subgroup_arithmetic = true;
    return c;
}

/// A classifier's pass on at most `tokens` tokens.
struct Pass {
    explicit Pass(uint32_t tokens, const char* shape = "2,256,4,1024", bool recompute = false)
        : config(config_of_shape(shape)) {
        sizes.max_tokens = tokens, sizes.max_sequences = 8, sizes.max_rows = 1;
        model.head = Head::sequence_classification;
        weights = weight_table(large_gpu(), config, model);
        graph = std::make_unique<TrainingGraph>(Plan(large_gpu()), config, weights, model, sizes,
                                                TrainingGraphOptions{0.1f, 0.1f, 0.1f, recompute, 0});
        build_training(*graph);
    }
    const std::vector<Dispatch>& dispatches() const { return graph->plan.dispatches(); }
    size_t at(const std::string& label) const {
        const auto found = std::ranges::find(dispatches(), label, &Dispatch::label);
        EXPECT_NE(found, dispatches().end()) << label;
        return size_t(found - dispatches().begin());
    }

    Config config;
    ModelOptions model;
    WeightTable weights;
    SessionOptions sizes;
    std::unique_ptr<TrainingGraph> graph;
};

/// dX = dY W and dW = dY^T X, also where dW is summed in parts and where memory is reused around them.
TEST(TrainingPlan, NoBarrierBetweenTheTwoProductsOfAGradient) {
    for (const uint32_t tokens : {100u, 1024u, 8192u}) {
        const Pass pass(tokens);
        for (const char* layer : {"layer 0 ", "layer 1 "})
            for (const char* linear : {"d ffn2", "d ffn1", "d projection", "d qkv"}) {
                const std::string name = std::string(layer) + linear;
                const size_t input = pass.at(name + " input"), weight = pass.at(name + " weight");
                for (size_t i = std::min(input, weight) + 1; i <= std::max(input, weight); ++i)
                    EXPECT_FALSE(pass.dispatches()[i].barrier_before) << tokens << " tokens, " << name;
            }
    }
}

TEST(TrainingPlan, RecomputingNeedsFarLessMemory) {
    const Pass kept(1024, "6,256,4,1024"), recomputed(1024, "6,256,4,1024", true);
    EXPECT_LT(recomputed.graph->plan.arena_bytes(), kept.graph->plan.arena_bytes() / 2);
}

/// Gradients of biases and dropout of what linear layers give are no passes of their own on a GPU, but for
/// what adds up parts.
TEST(TrainingPlan, LinearLayersAreOnePassEach) {
    const Pass pass(1024);
    for (const Dispatch& d : pass.dispatches()) {
        EXPECT_FALSE(d.label.ends_with("projection dropout") || d.label.ends_with("ffn2 dropout")) << d.label;
        EXPECT_FALSE(d.label.ends_with("weight column sums")) << d.label;
    }
}

}  // namespace
}  // namespace vkbert
