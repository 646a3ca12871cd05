// The variants of matmul, and how each cuts C. Which one a problem gets is matmul_choice.cpp's.
#pragma once

#include <span>

#include "runtime/kernels.hpp"
#include "runtime/ops.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/types.hpp"

namespace vkbert::ops {

enum class Algorithm : uint8_t { matrix, tiled, packed, pointer, texel, buffers, plain };

/// What belongs to a variant beside its Kernel: rows and columns of C per workgroup.
struct MatmulTile {
    Algorithm algorithm;
    uint32_t rows, columns;
    uint32_t rows_at_a_time = rows;
    bool per_element = false;  // the epilogue is in registers where the tile lies wholly inside C
    uint32_t invocations = 0;  // of a workgroup, of tiled
    /// Of tiled, what is peculiar: both operands from each invocation, and the inner loop.
    enum class Loop : uint8_t { plain, both, unrolled, pairs, dot } loop = Loop::plain;

    /// Whether its epilogue has four neighbouring columns, of which one call of Philox decides.
    constexpr bool drops() const { return algorithm != Algorithm::packed && algorithm != Algorithm::pointer; }
    /// Whether it sums the columns of A on their way. On matrix cores the four more registers cost a quarter
    /// of the occupancy (NVIDIA: 152 in place of 128 and 12 subgroups in place of 16, tools/lab/compilers).
    constexpr bool sums_a() const { return algorithm == Algorithm::tiled; }
};

/// The table for operands of this type, best first.
std::span<const Kernel> matmul_variants(Type type);
/// Of a variant in that table.
const MatmulTile& tile_of(const Kernel& kernel, Type type);

/// Parts of K, each summed by workgroups of its own, where C has too few tiles to fill the device: gradients
/// of weights, whose K is all tokens. From capacities alone, so that the order of a sum is always the same.
uint32_t parts_of_k(const MatmulTile& shape, const Capabilities& capabilities, const MatmulProblem& problem);

/// Bytes of B up to which it is packed, into a temporary of that size.
constexpr uint64_t most_packed = 32 << 20;

}  // namespace vkbert::ops
