// Every op at the shapes that BERT-base gives it, as plans of one op each.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/plan.hpp"

namespace vkbert::lab {

/// One use of one op in BERT: its plan holds that op alone.
struct Case {
    std::string op;     // as in ops::all_kernels()
    std::string title;  // "ffn1 fp16, 1024 tokens"
    std::function<void(Plan&)> build;
};

/// The uses of every op in BERT-base (H 768, F 3072, A 12, V 30522) on 1024 and on 32 packed tokens, in fp32
/// and fp16; attention also with the head sizes of MiniLM (32) and of wider models (128).
std::vector<Case> bert_cases();
/// Those of the ops that only training needs (training_cases.cpp); part of bert_cases().
void add_training_cases(std::vector<Case>& cases);

}  // namespace vkbert::lab
