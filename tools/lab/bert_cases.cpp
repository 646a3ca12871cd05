#include "tools/lab/bert_cases.hpp"

#include <fmt/core.h>

#include "runtime/ops.hpp"

namespace vkbert::lab {
namespace {

constexpr uint32_t hidden = 768, wide = 3072, heads = 12, vocabulary = 30522, positions = 512, sequences = 8;

/// Makes the tensors of one case: what an op only reads lives in persistent storage, as weights do.
struct Maker {
    Plan& plan;
    Tensor operator()(const char* name, Extent rows, uint32_t columns, Type type = Type::fp32) const {
        return plan.persistent(name, rows, columns, type);
    }
};

struct Linear {
    const char* name;
    uint32_t in, out;
    bool bias, residual;
    ops::Activation activation;
    bool logits = false;  // the result is fp32 whatever the type of the weights
    bool drops = false;   // as training does
};

/// y(T,out) = dropout(activation(x(T,in) W(out,in)^T + bias)) + residual
Case linear(const Linear& layer, uint32_t tokens, Type type) {
    return {"matmul", fmt::format("{} {}, {} tokens", layer.name, name_of(type), tokens), [=](Plan& plan) {
                const Maker make{plan};
                const Extent rows = plan.symbol("tokens", tokens);
                const Tensor bias = make("bias", 1u, layer.out);
                const Tensor residual = make("residual", rows, layer.out, type);
                ops::MatmulOptions options;
                options.activation = layer.activation;
                if (layer.bias) options.bias = &bias;
                if (layer.residual) options.residual = &residual;
                const ops::Dropout dropout{0.1f, 1, make("state", 1u, 4, Type::uint32)};
                if (layer.drops) options.dropout = &dropout;
                const Tensor y = make("y", rows, (layer.out + 3) / 4 * 4, layer.logits ? Type::fp32 : type);
                ops::matmul(plan, layer.name, y.columns_at(0, layer.out), make("x", rows, layer.in, type),
                            make("w", layer.out, layer.in, type), options);
            }};
}

/// The two products of a linear layer's backward pass at ffn1: dX(T,H) = dY W, and dW(F,H) = dY^T X with the
/// bias's gradient.
Case gradient(ops::Orientation orientation, uint32_t tokens, Type type) {
    const bool of_weights = orientation == ops::Orientation::tn;
    const auto title =
        fmt::format("{} of ffn1 {}, {} tokens", of_weights ? "dW" : "dX", name_of(type), tokens);
    return {"matmul", title, [=](Plan& plan) {
                const Maker make{plan};
                const Extent rows = plan.symbol("tokens", tokens);
                const Tensor d_y = make("dy", rows, wide, type);
                ops::MatmulOptions options;
                options.orientation = orientation;
                if (of_weights) {
                    const Tensor d_w = make("dw", wide, hidden), d_b = make("db", 1u, wide);
                    options.residual = &d_w, options.a_sums = &d_b;
                    ops::matmul(plan, "dW", d_w, d_y, make("x", rows, hidden, type), options);
                } else {
                    ops::matmul(plan, "dX", make("dx", rows, hidden, type), d_y,
                                make("w", wide, hidden, type), options);
                }
            }};
}

Case attention(uint32_t head_size, bool causal, uint32_t tokens, Type type) {
    const auto title = fmt::format("{}, head size {}{}, {} tokens", name_of(type), head_size,
                                   causal ? ", causal" : "", tokens);
    return {"attention_forward", title, [=](Plan& plan) {
                const Maker make{plan};
                const uint32_t width = heads * head_size;
                const Extent rows = plan.symbol("tokens", tokens);
                const Extent tiles = plan.symbol("tiles", ops::max_attention_tiles(tokens, sequences));
                ops::AttentionOptions options;
                options.heads = heads;
                options.causal = causal;
                ops::attention_forward(plan, "attention", make("output", rows, width, type),
                                       make("qkv", rows, 3 * width, type),
                                       make("tiles", tiles, 4, Type::uint32), options);
            }};
}

void add_matmuls(std::vector<Case>& cases) {
    using enum ops::Activation;
    const Linear layers[] = {{"qkv", hidden, 3 * hidden, true, false, none},
                             {"projection", hidden, hidden, true, true, none},
                             {"ffn1", hidden, wide, true, false, gelu},
                             {"ffn2", wide, hidden, true, true, none}};
    for (const Type type : {Type::fp32, Type::fp16}) {
        for (const uint32_t tokens : {1024u, 32u})
            for (const Linear& layer : layers) cases.push_back(linear(layer, tokens, type));
        cases.push_back(
            linear({"ffn2 with dropout", wide, hidden, true, true, none, false, true}, 1024, type));
        cases.push_back(linear({"pooler", hidden, hidden, true, false, tanh}, sequences, type));
        cases.push_back(linear({"decoder", hidden, vocabulary, true, false, none, true}, 32, type));
        for (const auto orientation : {ops::Orientation::nn, ops::Orientation::tn})
            cases.push_back(gradient(orientation, 1024, type));
    }
}

void add_row_ops(std::vector<Case>& cases, Type type) {
    const std::string name(name_of(type));
    const uint32_t tokens = 1024;
    cases.push_back({"layernorm_forward", name, [=](Plan& plan) {
                         const Maker make{plan};
                         const Extent rows = plan.symbol("tokens", tokens);
                         ops::layernorm_forward(plan, "layernorm", make("output", rows, hidden, type),
                                                make("input", rows, hidden, type), make("gamma", 1u, hidden),
                                                make("beta", 1u, hidden));
                     }});
    cases.push_back({"embedding_forward", name, [=](Plan& plan) {
                         const Maker make{plan};
                         const Extent rows = plan.symbol("tokens", tokens);
                         const ops::EmbeddingTables tables{make("word", vocabulary, hidden, type),
                                                           make("position", positions, hidden, type),
                                                           make("type", 2u, hidden, type)};
                         ops::embedding_forward(plan, "embedding", make("sum", rows, hidden, type),
                                                make("ids", rows, 1, Type::uint32),
                                                make("positions", rows, 1, Type::uint32),
                                                make("types", rows, 1, Type::uint32), tables);
                     }});
    for (const auto& [pooling, title] :
         {std::pair{ops::Pooling::mean, "mean"}, std::pair{ops::Pooling::max, "max"},
          std::pair{ops::Pooling::first, "first"}})
        cases.push_back({"pool_forward", fmt::format("{} {}", title, name), [=](Plan& plan) {
                             const Maker make{plan};
                             ops::pool_forward(
                                 plan, "pool", make("output", plan.symbol("sequences", sequences), hidden),
                                 make("input", plan.symbol("tokens", tokens), hidden, type),
                                 make("offsets", plan.symbol("offsets", sequences + 1), 1, Type::uint32),
                                 pooling);
                         }});
    for (const Type to : {type, Type::fp32}) {
        cases.push_back({"gather_rows", fmt::format("{} to {}", name, name_of(to)), [=](Plan& plan) {
                             const Maker make{plan};
                             const Extent wanted = plan.symbol("wanted", sequences);
                             ops::gather_rows(plan, "gather", make("output", wanted, hidden, to),
                                              make("input", plan.symbol("tokens", tokens), hidden, type),
                                              make("rows", wanted, 1, Type::uint32));
                         }});
    }
    cases.push_back({"cast", fmt::format("to {}", name), [=](Plan& plan) {
                         const Maker make{plan};
                         const Extent rows = plan.symbol("tokens", tokens);
                         const Type from = type == Type::fp32 ? Type::fp16 : Type::fp32;
                         ops::cast(plan, "cast", make("output", rows, hidden, type),
                                   make("input", rows, hidden, from));
                     }});
}

}  // namespace

std::vector<Case> bert_cases() {
    std::vector<Case> cases;
    add_matmuls(cases);
    for (const Type type : {Type::fp32, Type::fp16}) {
        cases.push_back(attention(64, false, 1024, type));
        cases.push_back(attention(32, false, 1024, type));
        cases.push_back(attention(128, false, 1024, type));
        cases.push_back(attention(64, true, 1024, type));
        add_row_ops(cases, type);
    }
    cases.push_back({"normalize_rows", "embeddings", [](Plan& plan) {
                         const Extent rows = plan.symbol("sequences", sequences);
                         ops::normalize_rows(plan, "normalize", plan.persistent("output", rows, hidden),
                                             plan.persistent("input", rows, hidden));
                     }});
    cases.push_back({"softmax_forward", "logits of the vocabulary", [](Plan& plan) {
                         const Extent rows = plan.symbol("rows", 32);
                         ops::softmax_forward(plan, "softmax",
                                              plan.persistent("probabilities", rows, vocabulary),
                                              plan.persistent("logits", rows, vocabulary));
                     }});
    cases.push_back({"top_k", "5 of the vocabulary", [](Plan& plan) {
                         const Extent rows = plan.symbol("rows", 32);
                         ops::top_k(plan, "top_k", plan.persistent("values", rows, 5),
                                    plan.persistent("indices", rows, 5, Type::uint32),
                                    plan.persistent("input", rows, vocabulary));
                     }});
    add_training_cases(cases);
    return cases;
}

}  // namespace vkbert::lab
