#include "bert/entities.hpp"

#include <algorithm>
#include <string_view>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

/// A label's kind, and whether it begins an entity.
struct Tag {
    std::string_view kind;
    bool begins;
};

Tag tag_of(std::string_view label) {
    if (label.starts_with("B-")) return {label.substr(2), true};
    if (label.starts_with("I-")) return {label.substr(2), false};
    return {label, false};
}

}  // namespace

std::vector<Entity> find_entities(const Encoding& encoding, std::span<const float> probabilities,
                                  const std::vector<std::string>& labels) {
    const size_t C = labels.size();
    if (C == 0 || probabilities.size() != encoding.size() * C)
        fail(ErrorCode::invalid_argument, "{} probabilities do not fit {} tokens and {} labels",
             probabilities.size(), encoding.size(), C);
    std::vector<Entity> entities;
    std::vector<size_t> words;  // in each entity
    for (size_t t = 0; t < encoding.size(); ++t) {
        if (encoding.word_ids[t] < 0) continue;
        const bool continues_word = t > 0 && encoding.word_ids[t] == encoding.word_ids[t - 1] &&
                                    encoding.sequence_ids[t] == encoding.sequence_ids[t - 1];
        if (continues_word) {
            entities.back().range.end = encoding.offsets[t].end;
            continue;
        }
        const auto row = probabilities.subspan(t * C, C);
        const auto best = std::ranges::max_element(row);
        const Tag tag = tag_of(labels[size_t(best - row.begin())]);
        if (entities.empty() || tag.begins || tag.kind != entities.back().label) {
            entities.push_back({std::string(tag.kind), encoding.offsets[t], 0});
            words.push_back(0);
        }
        entities.back().range.end = encoding.offsets[t].end;
        entities.back().score += *best;
        ++words.back();
    }
    for (size_t i = 0; i < entities.size(); ++i) entities[i].score /= double(words[i]);
    std::erase_if(entities, [](const Entity& entity) { return entity.label == "O"; });
    return entities;
}

}  // namespace vkbert
