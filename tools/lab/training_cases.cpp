// The ops that only training needs, at BERT-base's shapes.
#include <fmt/core.h>

#include "runtime/training_ops.hpp"
#include "tools/lab/bert_cases.hpp"

namespace vkbert::lab {
namespace {

constexpr uint32_t hidden = 768, wide = 3072, heads = 12, vocabulary = 30522, tokens = 1024, sequences = 8;

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

Case attention_forward(uint32_t head_size, Type type) {
    const auto title = fmt::format("{}, head size {}, dropout", name_of(type), head_size);
    return {"attention_forward", title, [=](Plan& plan) {
                const uint32_t width = heads * head_size;
                const Extent rows = plan.symbol("tokens", tokens);
                const Extent tiles = plan.symbol("tiles", ops::max_attention_tiles(tokens, sequences));
                const ops::Dropout dropout{0.1f, 1, plan.persistent("state", 1u, 4, Type::uint32)};
                const Tensor logsumexp = plan.persistent("logsumexp", rows, heads);
                ops::AttentionOptions options;
                options.heads = heads;
                options.logsumexp = &logsumexp;
                options.dropout = &dropout;
                ops::attention_forward(plan, "attention", plan.persistent("output", rows, width, type),
                                       plan.persistent("qkv", rows, 3 * width, type),
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

/// What follows or precedes the matmuls of a feed-forward block: the activation at F, the bias's gradient.
void add_feed_forward(std::vector<Case>& cases, Type type) {
    const std::string name(name_of(type));
    cases.push_back({"activation_backward", name, [=](Plan& plan) {
                         const Extent rows = plan.symbol("tokens", tokens);
                         ops::activation_backward(plan, "gelu", plan.persistent("d_x", rows, wide, type),
                                                  plan.persistent("d_y", rows, wide, type),
                                                  plan.persistent("x", rows, wide, type),
                                                  ops::Activation::gelu);
                     }});
    cases.push_back({"column_sums", name, [=](Plan& plan) {
                         const Extent rows = plan.symbol("tokens", tokens);
                         ops::column_sums(plan, "d_bias", plan.persistent("d_bias", 1u, wide),
                                          plan.persistent("d_y", rows, wide, type));
                     }});
    cases.push_back({"transpose", name, [=](Plan& plan) {
                         const Extent rows = plan.symbol("tokens", tokens);
                         ops::transpose(plan, "d_y^T", plan.persistent("d_y^T", wide, tokens, type),
                                        plan.persistent("d_y", rows, wide, type));
                     }});
}

Case scatter_rows(std::string_view op, Type from, Type to) {
    return {std::string(op), fmt::format("{} to {}", name_of(from), name_of(to)), [=](Plan& plan) {
                const Extent wanted = plan.symbol("wanted", sequences);
                ops::scatter_rows(plan, "scatter",
                                  plan.persistent("output", plan.symbol("tokens", tokens), hidden, to),
                                  plan.persistent("input", wanted, hidden, from),
                                  plan.persistent("rows", wanted, 1, Type::uint32));
            }};
}

Case embedding_backward(Type type) {
    return {"embedding_backward", std::string(name_of(type)), [=](Plan& plan) {
                const Extent pieces = plan.symbol("pieces", ops::max_embedding_pieces(tokens, vocabulary));
                const Extent sums = plan.symbol("sums", ops::max_embedding_sums(tokens));
                const Extent rows = plan.symbol("tokens", tokens);
                ops::embedding_backward(plan, "embedding", plan.persistent("d_word", vocabulary, hidden),
                                        plan.persistent("d_sum", rows, hidden, type),
                                        {plan.persistent("order", rows, 1, Type::uint32),
                                         plan.persistent("pieces", pieces, 4, Type::uint32),
                                         plan.persistent("sums", sums, 4, Type::uint32)});
            }};
}

Tensor training_scalars(Plan& plan) {
    return plan.persistent("scalars", 1u, training_scalars_words, Type::uint32);
}

Case cross_entropy(uint32_t classes) {
    return {"cross_entropy", fmt::format("{} classes", classes), [=](Plan& plan) {
                const Extent rows = plan.symbol("rows", 32);
                const uint32_t pitch = (classes + 3) / 4 * 4;
                const Tensor logits = plan.persistent("logits", rows, pitch).columns_at(0, classes);
                ops::cross_entropy(plan, "loss", plan.persistent("loss", rows, 1), logits, logits,
                                   plan.persistent("labels", rows, 1, Type::uint32), training_scalars(plan));
            }};
}

void add_losses(std::vector<Case>& cases) {
    for (const uint32_t classes : {2u, vocabulary}) cases.push_back(cross_entropy(classes));
    cases.push_back({"segment_cross_entropy", "answers", [](Plan& plan) {
                         const Extent rows = plan.symbol("sequences", sequences);
                         const Extent offsets = plan.symbol("offsets", sequences + 1);
                         const Tensor logits = plan.persistent("logits", plan.symbol("tokens", tokens), 2);
                         ops::segment_cross_entropy(
                             plan, "loss", plan.persistent("loss", rows, 2), logits, logits,
                             plan.persistent("offsets", offsets, 1, Type::uint32),
                             plan.persistent("labels", rows, 2, Type::uint32), training_scalars(plan));
                     }});
    cases.push_back({"mean_squared_error", "similarities", [](Plan& plan) {
                         const Extent rows = plan.symbol("sequences", sequences);
                         const auto column = [&](const char* name) { return plan.persistent(name, rows, 1); };
                         ops::mean_squared_error(plan, "loss", column("loss"), column("d_predictions"),
                                                 column("predictions"), column("targets"),
                                                 training_scalars(plan));
                     }});
}

void add_optimizer(std::vector<Case>& cases) {
    constexpr uint32_t elements = wide * hidden;  // of ffn1's weights
    for (const char* op : {"gradient_norm", "gradient_norm_finish"})
        cases.push_back({op, "ffn1", [](Plan& plan) {
                             ops::gradient_norm(plan, "norm", training_scalars(plan),
                                                {plan.persistent("gradient", 1u, elements)});
                         }});
    for (const bool halves : {false, true})
        cases.push_back({"adamw", halves ? "ffn1, fp16 copy" : "ffn1", [=](Plan& plan) {
                             const auto range = [&](const char* name, Type type = Type::fp32) {
                                 return plan.persistent(name, 1u, elements, type);
                             };
                             const Tensor copy = range("weights_fp16", Type::fp16);
                             ops::adamw(plan, "adamw", range("weights"), range("gradient"), range("first"),
                                        range("second"), training_scalars(plan),
                                        {.weights_fp16 = halves ? &copy : nullptr});
                         }});
}

}  // namespace

void add_training_cases(std::vector<Case>& cases) {
    for (const Type type : {Type::fp32, Type::fp16})
        for (const std::string_view op : {"layernorm_backward", "layernorm_backward_columns"})
            cases.push_back(layernorm_backward(op, type));
    for (const Type type : {Type::fp32, Type::fp16}) {
        for (const bool residual : {false, true}) cases.push_back(dropout(residual, type));
        for (const uint32_t head_size : {64u, 32u}) cases.push_back(attention_forward(head_size, type));
        for (const uint32_t head_size : {64u, 32u, 128u}) {
            cases.push_back(attention_backward(head_size, 0, type));
            cases.push_back(attention_backward(head_size, 0.1f, type));
        }
        add_feed_forward(cases, type);
        cases.push_back(embedding_backward(type));
    }
    for (const std::string_view op : {"fill", "scatter_rows"}) {
        cases.push_back(scatter_rows(op, Type::fp32, Type::fp32));
        cases.push_back(scatter_rows(op, Type::fp16, Type::fp16));
        cases.push_back(scatter_rows(op, Type::fp32, Type::fp16));
    }
    add_losses(cases);
    add_optimizer(cases);
}

}  // namespace vkbert::lab
