#include "bert/graph_inputs.hpp"

#include <algorithm>

#include "runtime/error.hpp"

namespace vkbert {

void check_batch(const Config& config, const SessionOptions& sizes, const Batch& batch) {
    const uint32_t T = batch.tokens(), S = batch.sequences();
    if (T > sizes.max_tokens || S > sizes.max_sequences || batch.rows.size() > sizes.max_rows)
        fail(ErrorCode::invalid_argument,
             "a batch of {} tokens, {} sequences and {} rows is over the session's {}, {} and {}", T, S,
             batch.rows.size(), sizes.max_tokens, sizes.max_sequences, sizes.max_rows);
    if (batch.offsets.empty() || batch.offsets.front() != 0 || batch.offsets.back() != T ||
        batch.types.size() != T || batch.positions.size() != T || !std::ranges::is_sorted(batch.offsets))
        fail(ErrorCode::invalid_argument, "a batch's offsets, types and positions do not fit its {} tokens",
             T);
    for (uint32_t t = 0; t < T; ++t) {
        if (!sizes.from_embeddings && batch.ids[t] >= config.vocab_size)
            fail(ErrorCode::invalid_argument, "token {} has id {}: the model's vocabulary has {} words", t,
                 batch.ids[t], config.vocab_size);
        if (batch.types[t] >= config.type_vocab_size)
            fail(ErrorCode::invalid_argument, "token {} has segment {}: the model knows {}", t,
                 batch.types[t], config.type_vocab_size);
        if (batch.positions[t] >= config.max_position_embeddings)
            fail(ErrorCode::invalid_argument,
                 "token {} is at position {}: the model has {} positions, truncate the text", t,
                 batch.positions[t], config.max_position_embeddings);
    }
    for (const uint32_t row : batch.rows)
        if (row >= T) fail(ErrorCode::invalid_argument, "row {} is past the batch's {} tokens", row, T);
}

void put_batch(BoundBuffer& inputs, Recording& recording, const Graph& g, const Batch& batch) {
    const std::vector<ops::AttentionTile> tiles = ops::attention_tiles(batch.offsets);
    std::vector<ops::AttentionTile> first_tiles;
    uint64_t pairs = 0;
    for (uint32_t s = 0; s < batch.sequences(); ++s) {
        const uint32_t first = batch.offsets[s], length = batch.offsets[s + 1] - first;
        if (length) first_tiles.push_back({first, 1, first, length});
        pairs += uint64_t(length) * length;
    }
    inputs.put<uint32_t>(g.ids, batch.ids);
    inputs.put<uint32_t>(g.types, batch.types);
    inputs.put<uint32_t>(g.positions, batch.positions);
    inputs.put<uint32_t>(g.offsets, batch.offsets);
    inputs.put<uint32_t>(g.row_list, batch.rows);
    inputs.put<ops::AttentionTile>(g.tile_list, tiles);
    inputs.put<ops::AttentionTile>(g.first_tile_list, first_tiles);
    recording.set(g.tokens, batch.tokens());
    recording.set(g.sequences, batch.sequences());
    recording.set(g.rows, uint32_t(batch.rows.size()));
    recording.set(g.tiles, uint32_t(tiles.size()));
    recording.set(g.pairs, uint32_t(std::min<uint64_t>(pairs, g.pairs.capacity)));
    recording.set(g.first_tiles, uint32_t(first_tiles.size()));
    recording.set(g.first_pairs, batch.tokens());
}

}  // namespace vkbert
