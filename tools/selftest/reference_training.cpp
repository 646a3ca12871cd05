#include "tools/selftest/reference_training.hpp"

#include <cmath>
#include <numeric>

namespace vkbert::test::reference {

Matrix finite_differences(const Matrix& x, const std::function<double(const Matrix&)>& loss, double step) {
    Matrix gradient(x.rows, x.columns), moved = x;
    for (size_t i = 0; i < x.values.size(); i++) {
        moved.values[i] = x.values[i] + step;
        const double above = loss(moved);
        moved.values[i] = x.values[i] - step;
        gradient.values[i] = (above - loss(moved)) / (2 * step);
        moved.values[i] = x.values[i];
    }
    return gradient;
}

double inner_product(const Matrix& a, const Matrix& b) {
    return std::inner_product(a.values.begin(), a.values.end(), b.values.begin(), 0.0);
}

LayerNormGradients layernorm_backward(const Matrix& d_y, const Matrix& x, const Matrix& gamma,
                                      double epsilon) {
    const LayerNorm forward = layernorm(x, gamma, Matrix(1, x.columns), epsilon);
    LayerNormGradients result{Matrix(x.rows, x.columns), Matrix(1, x.columns), Matrix(1, x.columns)};
    for (uint32_t row = 0; row < x.rows; row++) {
        const double mean = forward.mean(row, 0), rstd = forward.rstd(row, 0);
        double mean_g = 0, mean_gn = 0;
        for (uint32_t c = 0; c < x.columns; c++) {
            const double n = (x(row, c) - mean) * rstd, g = d_y(row, c) * gamma(0, c);
            mean_g += g / x.columns;
            mean_gn += g * n / x.columns;
            result.d_gamma(0, c) += d_y(row, c) * n;
            result.d_beta(0, c) += d_y(row, c);
        }
        for (uint32_t c = 0; c < x.columns; c++) {
            const double n = (x(row, c) - mean) * rstd, g = d_y(row, c) * gamma(0, c);
            result.d_x(row, c) = rstd * (g - mean_g - n * mean_gn);
        }
    }
    return result;
}

}  // namespace vkbert::test::reference
