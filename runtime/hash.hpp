// FNV-1a, to recognise what files belong to; nothing that an attacker must not imitate depends on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vkbert {

/// The hash of some bytes, or of those whose hash is given followed by these.
constexpr uint64_t fnv1a(std::span<const std::byte> bytes, uint64_t hash = 14695981039346656037ull) {
    for (const std::byte b : bytes) hash = (hash ^ uint64_t(b)) * 1099511628211ull;
    return hash;
}

}  // namespace vkbert
