// The ops that only training needs, at BERT-base's shapes.
#include <fmt/core.h>

#include "runtime/training_ops.hpp"
#include "tools/lab/bert_cases.hpp"

namespace vkbert::lab {
namespace {

constexpr uint32_t hidden = 768, heads = 12, tokens = 1024, sequences = 8;

Case dropout(bool residual, Type type) {
    return {"dropout", fmt::format("{}{}", name_of(type), residual ? ", residual" : ""), [=](Plan& plan) {
                const Extent rows = plan.symbol("tokens", tokens);
                const Tensor added = plan.persistent("residual", rows, hidden, type);
                const ops::Dropout options{0.1f, 1, plan.persistent("state", 1u, 4, Type::uint32)};
                ops::dropout(plan, "dropout", plan.persistent("output", rows, hidden, type),
                             plan.persistent("input", rows, hidden, type), options,
                             residual ? &added : nullptr);
            }};
}

Case layernorm_backward(std::string_view op, Type type) {
    return {std::string(op), std::string(name_of(type)), [=](Plan& plan) {
                const Extent rows = plan.symbol("tokens", tokens);
                const auto matrix = [&](const char* name) {
                    return plan.persistent(name, rows, hidden, type);
                };
                const auto vector = [&](const char* name) { return plan.persistent(name, 1u, hidden); };
                const auto column = [&](const char* name) { return plan.persistent(name, rows, 1); };
                const Tensor residual = matrix("residual");
                ops::layernorm_backward(plan, "layernorm", matrix("d_x"), vector("d_gamma"), vector("d_beta"),
                                        matrix("d_y"), matrix("x"), vector("gamma"), column("mean"),
                                        column("rstd"), &residual);
            }};
}

Case attention_forward(Type type) {
    return {"attention_forward", fmt::format("{}, head size 64, dropout", name_of(type)), [=](Plan& plan) {
                const Extent rows = plan.symbol("tokens", tokens);
                const Extent tiles = plan.symbol("tiles", ops::max_attention_tiles(tokens, sequences));
                const ops::Dropout dropout{0.1f, 1, plan.persistent("state", 1u, 4, Type::uint32)};
                const Tensor logsumexp = plan.persistent("logsumexp", rows, heads);
                ops::AttentionOptions options;
                options.heads = heads;
                options.logsumexp = &logsumexp;
                options.dropout = &dropout;
                ops::attention_forward(plan, "attention", plan.persistent("output", rows, hidden, type),
                                       plan.persistent("qkv", rows, 3 * hidden, type),
                                       plan.persistent("tiles", tiles, 4, Type::uint32), options);
            }};
}

Case attention_backward(uint32_t head_size, float probability, Type type) {
    const auto title =
        fmt::format("{}, head size {}{}", name_of(type), head_size, probability > 0 ? ", dropout" : "");
    return {"attention_backward", title, [=](Plan& plan) {
                const uint32_t width = heads * head_size;
                const Extent rows = plan.symbol("tokens", tokens);
                const Extent tiles = plan.symbol("tiles", ops::max_attention_tiles(tokens, sequences));
                const ops::Dropout dropout{probability, 1, plan.persistent("state", 1u, 4, Type::uint32)};
                const auto matrix = [&](const char* name, uint32_t columns) {
                    return plan.persistent(name, rows, columns, type);
                };
                ops::AttentionOptions options;
                options.heads = heads;
                options.dropout = &dropout;
                ops::attention_backward(plan, "attention", matrix("d_qkv", 3 * width),
                                        matrix("d_output", width), matrix("qkv", 3 * width),
                                        matrix("output", width), plan.persistent("logsumexp", rows, heads),
                                        plan.persistent("tiles", tiles, 4, Type::uint32), options);
            }};
}

}  // namespace

void add_training_cases(std::vector<Case>& cases) {
    for (const Type type : {Type::fp32, Type::fp16})
        for (const std::string_view op : {"layernorm_backward", "layernorm_backward_columns", "add_partials"})
            cases.push_back(layernorm_backward(op, type));
    for (const Type type : {Type::fp32, Type::fp16}) {
        for (const bool residual : {false, true}) cases.push_back(dropout(residual, type));
        cases.push_back(attention_forward(type));
        for (const uint32_t head_size : {64u, 32u, 128u}) {
            cases.push_back(attention_backward(head_size, 0, type));
            cases.push_back(attention_backward(head_size, 0.1f, type));
        }
    }
}

}  // namespace vkbert::lab
