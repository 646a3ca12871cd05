#include "tests/reference.hpp"

#include <cmath>
#include <random>

namespace vkbert::test {

uint16_t half_bits(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(value);
    if (std::isnan(value)) return sign | 0x7e00;
    if (magnitude >= 65520) return sign | 0x7c00;
    if (magnitude < 0x1p-14) return sign | uint16_t(std::nearbyint(magnitude * 0x1p24));
    int exponent = 0;
    const double fraction = std::frexp(magnitude, &exponent);  // in [0.5, 1)
    const auto mantissa =
        uint32_t(std::nearbyint(fraction * 0x1p11));  // in [1024, 2048]; a carry moves to the exponent
    return sign | uint16_t((uint32_t(exponent + 14) << 10) + mantissa - 1024);
}

double half_value(uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const double mantissa = bits & 1023;
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

double rounded(double value, Type type) {
    return type == Type::fp16 ? half_value(half_bits(value)) : double(float(value));
}

Matrix rounded(Matrix matrix, Type type) {
    for (double& value : matrix.values) value = rounded(value, type);
    return matrix;
}

Matrix random_matrix(uint32_t rows, uint32_t columns, uint64_t seed, Type type, double magnitude) {
    std::mt19937_64 generator(seed);
    Matrix matrix(rows, columns);
    for (double& value : matrix.values)
        value = rounded((double(generator() >> 11) * 0x1p-52 - 1) * magnitude, type);
    return matrix;
}

namespace reference {

Matrix transpose(const Matrix& m) {
    Matrix t(m.columns, m.rows);
    for (uint32_t i = 0; i < m.rows; i++)
        for (uint32_t j = 0; j < m.columns; j++) t(j, i) = m(i, j);
    return t;
}

Matrix matmul(const Matrix& a_stored, const Matrix& b_stored, ops::Orientation orientation, bool magnitude) {
    const Matrix a = orientation == ops::Orientation::tn ? transpose(a_stored) : a_stored;  // (M,K)
    const Matrix b = orientation == ops::Orientation::nt ? b_stored : transpose(b_stored);  // (N,K)
    Matrix c(a.rows, b.rows);
    for (uint32_t m = 0; m < c.rows; m++)
        for (uint32_t n = 0; n < c.columns; n++) {
            double sum = 0;
            for (uint32_t k = 0; k < a.columns; k++) {
                const double product = a(m, k) * b(n, k);
                sum += magnitude ? std::fabs(product) : product;
            }
            c(m, n) = sum;
        }
    return c;
}

double activation(ops::Activation activation, double x) {
    switch (activation) {
        case ops::Activation::none:
            return x;
        case ops::Activation::gelu:
            return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
        case ops::Activation::gelu_tanh: {
            const double inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
            return 0.5 * x * (1 + std::tanh(inner));
        }
        case ops::Activation::relu:
            return x > 0 ? x : 0;
        case ops::Activation::tanh:
            return std::tanh(x);
        case ops::Activation::silu:
            return x / (1 + std::exp(-x));
        case ops::Activation::sigmoid:
            return 1 / (1 + std::exp(-x));
    }
    return x;
}

}  // namespace reference
}  // namespace vkbert::test
