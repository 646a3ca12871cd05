// Conversions between fp32, fp16 and bf16, written without branches so that compilers vectorise loops over
// them.
#pragma once

#include <bit>
#include <cstdint>

namespace vkbert {

/// Exact.
constexpr float fp16_to_fp32(uint16_t half) {
    const uint32_t sign = uint32_t(half & 0x8000u) << 16;
    const uint32_t magnitude = uint32_t(half & 0x7fffu) << 13;
    // Scaling by 2^112 moves the exponent from fp16's bias to fp32's and normalises subnormals on the way.
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
    const uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | special | sign);
}

/// Exact.
constexpr float bf16_to_fp32(uint16_t value) {
    return std::bit_cast<float>(uint32_t(value) << 16);
}

/// Rounded to nearest even; too large becomes infinity, NaN stays NaN.
constexpr uint16_t fp32_to_fp16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const int32_t magnitude = int32_t(bits & 0x7fffffffu);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    // Normal results: rebias, add half a unit of the last place (less one when even), cut.
    const int32_t normal = (magnitude - (112 << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    // Subnormal results: the unit of 0.5f's last place is fp16's smallest subnormal, so the addition rounds.
    const float small = std::bit_cast<float>(magnitude < 0x38800000 ? magnitude : 0);
    const int32_t subnormal = std::bit_cast<int32_t>(small + 0.5f) - 0x3f000000;
    int32_t result = magnitude < 0x38800000 ? subnormal : normal;
    result = magnitude >= 0x47800000 ? 0x7c00 : result;
    result = magnitude > 0x7f800000 ? 0x7e00 : result;
    return uint16_t(uint32_t(result) | sign);
}

}  // namespace vkbert
