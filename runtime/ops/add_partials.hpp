// The second stage of sums over rows: what blocks of rows gave, added up in their order.
#pragma once

#include <string>

#include "runtime/plan.hpp"

namespace vkbert::ops {

/// Rows a block: 32, more where that would make over 256 blocks; a multiple of 4. Depends on the capacity
/// alone, so that every device and every run adds in one order.
uint32_t partial_block_rows(Extent rows);
/// Blocks that the capacity of `rows` is cut into.
uint32_t partial_blocks(Extent rows);

/// target(1,N) += sum over b of partials(b,N), b the blocks of the run-time number of `rows`, each of
/// partial_block_rows(rows). fp32.
void add_partials(Plan&, const std::string& label, const Tensor& target, const Tensor& partials, Extent rows);

}  // namespace vkbert::ops
