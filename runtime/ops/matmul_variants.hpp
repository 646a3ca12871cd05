// The variants of matmul, and how each cuts C. Which one a problem gets is matmul.cpp's.
#pragma once

#include <span>

#include "runtime/kernels.hpp"
#include "runtime/types.hpp"

namespace vkbert::ops {

enum class Algorithm : uint8_t { matrix, tiled, held, pointer, texel, plain };

/// What belongs to a variant beside its Kernel: rows and columns of C per workgroup.
struct MatmulTile {
    Algorithm algorithm;
    uint32_t rows, columns;
    uint32_t rows_at_a_time = rows;
};

/// Steps of K that the held variant keeps of a column of B.
constexpr uint32_t held_steps = 128;

/// The table for operands of this type, best first.
std::span<const Kernel> matmul_variants(Type type);
/// Of a variant in that table.
const MatmulTile& tile_of(const Kernel& kernel, Type type);

}  // namespace vkbert::ops
