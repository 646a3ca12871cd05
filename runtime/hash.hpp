// FNV-1a, to recognise what files belong to; nothing that an attacker must not imitate depends on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vkbert {

/// One step: of a byte, or of as many as a caller hashes at a time.
constexpr uint64_t fnv1a_step(uint64_t hash, uint64_t value) {
    return (hash ^ value) * 1099511628211ull;
}

/// The hash of some bytes, or of those whose hash is given followed by these.
constexpr uint64_t fnv1a(std::span<const std::byte> bytes, uint64_t hash = 14695981039346656037ull) {
    for (const std::byte b : bytes) hash = fnv1a_step(hash, uint64_t(b));
    return hash;
}

}  // namespace vkbert
