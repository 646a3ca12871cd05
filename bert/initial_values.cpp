#include "bert/initial_values.hpp"

#include <algorithm>

#include "bert/random_bits.hpp"

namespace vkbert {

namespace {

/// Quantile of the standard normal distribution for p in [0.0227, 0.9773]: the central rational fit of P. J.
/// Acklam, relative error 1.2e-9 before rounding to float (it is made for [0.0243, 0.9757]; 2e-9 at the ends
/// used here).
constexpr float central_quantile(float p) {
    const float q = p - 0.5f, r = q * q;
    const float numerator = (((((-39.69683028665376f * r + 220.9460984245205f) * r - 275.9285104469687f) * r +
                               138.3577518672690f) *
                                  r -
                              30.66479806614716f) *
                                 r +
                             2.506628277459239f) *
                            q;
    const float denominator =
        ((((-54.47609879822406f * r + 161.5858368580409f) * r - 155.6989798598866f) * r +
          66.80131188771972f) *
             r -
         13.28068155288572f) *
            r +
        1.0f;
    return numerator / denominator;
}

}  // namespace

void initial_values(const ParameterTable& table, size_t row, const Config& config, uint64_t seed,
                    uint64_t first, std::span<float> out) {
    switch (table.rows().at(row).initial) {
        case InitialValues::zeros:
            std::ranges::fill(out, 0.0f);
            return;
        case InitialValues::ones:
            std::ranges::fill(out, 1.0f);
            return;
        case InitialValues::truncated_normal:
            break;
    }
    constexpr float below = 0.02275013f;  // probability of less than -2 standard deviations
    const RandomStream stream(seed, row);
    for (size_t i = 0; i < out.size(); ++i) {
        const uint64_t bits = stream(first + i);
        const float uniform = float(int32_t(bits >> 40)) * 0x1p-24f;
        out[i] = config.initializer_range * central_quantile(below + (1 - 2 * below) * uniform);
    }
}

}  // namespace vkbert
