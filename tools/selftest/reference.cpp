#include "tools/selftest/reference.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "tools/selftest/reference_random.hpp"

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

LayerNorm layernorm(const Matrix& x, const Matrix& gamma, const Matrix& beta, double epsilon) {
    LayerNorm result{Matrix(x.rows, x.columns), Matrix(x.rows, 1), Matrix(x.rows, 1)};
    for (uint32_t row = 0; row < x.rows; row++) {
        double mean = 0, variance = 0;
        for (uint32_t c = 0; c < x.columns; c++) mean += x(row, c) / x.columns;
        for (uint32_t c = 0; c < x.columns; c++)
            variance += (x(row, c) - mean) * (x(row, c) - mean) / x.columns;
        const double rstd = 1 / std::sqrt(variance + epsilon);
        for (uint32_t c = 0; c < x.columns; c++)
            result.output(row, c) = gamma(0, c) * (x(row, c) - mean) * rstd + beta(0, c);
        result.mean(row, 0) = mean;
        result.rstd(row, 0) = rstd;
    }
    return result;
}

Attention attention(const Matrix& qkv, const std::vector<uint32_t>& offsets, uint32_t heads, bool causal,
                    const DropoutMask* dropout) {
    const uint32_t hidden = qkv.columns / 3, head_size = hidden / heads;
    Attention result{Matrix(qkv.rows, hidden), Matrix(qkv.rows, heads)};
    std::vector<double> weights;
    for (size_t s = 0; s + 1 < offsets.size(); s++)
        for (uint32_t row = offsets[s]; row < offsets[s + 1]; row++)
            for (uint32_t head = 0; head < heads; head++) {
                const uint32_t end = causal ? row + 1 : offsets[s + 1];
                weights.clear();
                for (uint32_t key = offsets[s]; key < end; key++) {
                    double score = 0;
                    for (uint32_t d = head * head_size; d < (head + 1) * head_size; d++)
                        score += qkv(row, d) * qkv(key, hidden + d);
                    weights.push_back(score / std::sqrt(double(head_size)));
                }
                const double largest = *std::max_element(weights.begin(), weights.end());
                double sum = 0;
                for (double& weight : weights) sum += weight = std::exp(weight - largest);
                for (uint32_t key = offsets[s]; key < end; key++) {
                    double weight = weights[key - offsets[s]] / sum;
                    if (dropout != nullptr) weight *= dropout->attention_factor(row, head, key - offsets[s]);
                    for (uint32_t d = head * head_size; d < (head + 1) * head_size; d++)
                        result.output(row, d) += weight * qkv(key, 2 * hidden + d);
                }
                result.logsumexp(row, head) = largest + std::log(sum);
            }
    return result;
}

Matrix gather(const Matrix& input, const std::vector<uint32_t>& rows) {
    Matrix result(uint32_t(rows.size()), input.columns);
    for (uint32_t row = 0; row < result.rows; row++)
        for (uint32_t c = 0; c < input.columns; c++) result(row, c) = input(rows[row], c);
    return result;
}

Matrix add(const Matrix& a, const Matrix& b) {
    Matrix result = a;
    for (size_t i = 0; i < result.values.size(); i++) result.values[i] += b.values[i];
    return result;
}

Matrix pool(const Matrix& input, const std::vector<uint32_t>& offsets, ops::Pooling pooling) {
    Matrix result(uint32_t(offsets.size() - 1), input.columns);
    for (uint32_t s = 0; s < result.rows; s++)
        for (uint32_t c = 0; c < input.columns; c++) {
            const uint32_t first = offsets[s], end = offsets[s + 1];
            if (first == end) continue;
            double pooled = input(first, c);
            for (uint32_t row = first + 1; row < end && pooling != ops::Pooling::first; row++)
                pooled =
                    pooling == ops::Pooling::mean ? pooled + input(row, c) : std::max(pooled, input(row, c));
            result(s, c) = pooling == ops::Pooling::mean ? pooled / (end - first) : pooled;
        }
    return result;
}

Matrix normalize_rows(const Matrix& input) {
    Matrix result = input;
    for (uint32_t row = 0; row < input.rows; row++) {
        double squares = 0;
        for (uint32_t c = 0; c < input.columns; c++) squares += input(row, c) * input(row, c);
        for (uint32_t c = 0; c < input.columns; c++) result(row, c) /= std::max(std::sqrt(squares), 1e-12);
    }
    return result;
}

Matrix softmax(const Matrix& logits) {
    Matrix result = logits;
    for (uint32_t row = 0; row < logits.rows; row++) {
        double largest = logits(row, 0), sum = 0;
        for (uint32_t c = 0; c < logits.columns; c++) largest = std::max(largest, logits(row, c));
        for (uint32_t c = 0; c < logits.columns; c++)
            sum += result(row, c) = std::exp(logits(row, c) - largest);
        for (uint32_t c = 0; c < logits.columns; c++) result(row, c) /= sum;
    }
    return result;
}

}  // namespace reference
}  // namespace vkbert::test
