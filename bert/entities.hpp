// Named entities from a token classifier's probabilities.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bert/tokenizer/tokenizer.hpp"

namespace vkbert {

struct Entity {
    std::string label;  // without "B-" or "I-"
    TextRange range;    // code points of the text
    double score = 0;   // mean of its words' probabilities
};

/// The entities of one text. probabilities: (T,C) in the order of the encoding's tokens; labels: C names in
/// the BIO scheme, "O" for none; other names count as inside. A word has the label of its first piece (Devlin
/// et al. 2018, section 5.3); neighbouring words of one kind are one entity unless the later one begins anew
/// ("B-"): transformers' aggregation_strategy "first". Throws invalid_argument when the sizes do not fit.
std::vector<Entity> find_entities(const Encoding& encoding, std::span<const float> probabilities,
                                  const std::vector<std::string>& labels);

}  // namespace vkbert
