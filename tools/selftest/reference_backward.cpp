#include "tools/selftest/reference_backward.hpp"

#include <cmath>
#include <numbers>

namespace vkbert::test::reference {

double activation_slope(ops::Activation activation, double x) {
    using enum ops::Activation;
    const double s = 1 / (1 + std::exp(-x));
    switch (activation) {
        case none:
            return 1;
        case gelu: {
            const double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
            return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * density;
        }
        case gelu_tanh: {
            const double slope = std::sqrt(2 / std::numbers::pi);
            const double t = std::tanh(slope * (x + 0.044715 * x * x * x));
            return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope * (1 + 3 * 0.044715 * x * x);
        }
        case relu:
            return x > 0 ? 1 : 0;
        case tanh:
            return 1 / (std::cosh(x) * std::cosh(x));
        case silu:
            return s + x * s / (1 + std::exp(x));
        case sigmoid:
            return s / (1 + std::exp(x));
    }
    return 0;
}

Matrix column_sums(const Matrix& m) {
    Matrix sums(1, m.columns);
    for (uint32_t row = 0; row < m.rows; row++)
        for (uint32_t column = 0; column < m.columns; column++) sums(0, column) += m(row, column);
    return sums;
}

Matrix scatter(const Matrix& input, const std::vector<uint32_t>& at, uint32_t rows) {
    Matrix output(rows, input.columns);
    for (uint32_t row = 0; row < input.rows; row++)
        for (uint32_t column = 0; column < input.columns; column++)
            output(at[row], column) = input(row, column);
    return output;
}

}  // namespace vkbert::test::reference
