// What the commands of the output layers share: options, and texts in, logits out.
#pragma once

#include <functional>
#include <span>

#include "tools/vkbert/inference.hpp"

namespace vkbert::tools {

struct HeadOptions {
    TextOptions text;
    uint32_t max_length = 0, batch_tokens = 0;
};

/// Adds --max-length and --batch-tokens.
void add_length_options(CLI::App& command, HeadOptions& options);
/// Adds these and the options of where texts come from.
void add_head_options(CLI::App& command, HeadOptions& options);

/// Encodes the record's text or pair as one sequence of at most `max_length` tokens.
std::function<void(Item&)> encode_whole(LoadedModel& loaded, uint32_t max_length);

/// Rows of logits of each of an item's encodings: a row a token, or one row.
using ReceiveLogits = std::function<void(const Item&, std::span<const Matrix>)>;

/// Runs all encodings of the items through the session of `runner`, which computes logits; hands out each
/// item's.
void run_items(BatchRunner& runner, const std::vector<Item>& items, bool per_token,
               const ReceiveLogits& receive);

/// Runs every text of the reader through the model's head; items arrive in input order.
void run_head(LoadedModel& loaded, TextReader& reader, const HeadOptions& options, bool per_token,
              const std::function<void(Item&)>& encode, const ReceiveLogits& receive);

/// Code points [begin, end) of a valid text.
std::string substring(const std::string& text, const TextRange& range);

}  // namespace vkbert::tools
