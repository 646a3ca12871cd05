// A batch put into a graph.
#pragma once

#include "bert/batch.hpp"
#include "bert/layers.hpp"
#include "runtime/bound_buffer.hpp"
#include "runtime/recording.hpp"

namespace vkbert {

/// Throws invalid_argument when the batch is over the sizes or the model's vocabulary, segments or positions.
void check_batch(const Config& config, const SessionOptions& sizes, const Batch& batch);

/// Puts a checked batch into the graph's inputs and its counts into the recording, without flushing.
void put_batch(BoundBuffer& inputs, Recording& recording, const Graph& graph, const Batch& batch);

}  // namespace vkbert
