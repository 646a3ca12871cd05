// The ops that only training needs, at BERT-base's shapes.
#include <fmt/core.h>

#include "runtime/training_ops.hpp"
#include "tools/lab/bert_cases.hpp"

namespace vkbert::lab {
namespace {

constexpr uint32_t hidden = 768, tokens = 1024;

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

}  // namespace

void add_training_cases(std::vector<Case>& cases) {
    for (const Type type : {Type::fp32, Type::fp16})
        for (const bool residual : {false, true}) cases.push_back(dropout(residual, type));
}

}  // namespace vkbert::lab
