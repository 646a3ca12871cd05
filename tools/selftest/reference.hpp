// The ops once more, on the host, in double precision and without any cleverness: what the kernels are
// checked against.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/ops.hpp"
#include "runtime/types.hpp"

namespace vkbert::test {

/// A row-major matrix of doubles.
struct Matrix {
    uint32_t rows = 0, columns = 0;
    std::vector<double> values;

    Matrix() = default;
    Matrix(uint32_t rows_, uint32_t columns_, double value = 0)
        : rows(rows_), columns(columns_), values(size_t(rows_) * columns_, value) {}
    double& operator()(size_t row, size_t column) { return values[row * columns + column]; }
    double operator()(size_t row, size_t column) const { return values[row * columns + column]; }
};

/// Unit roundoff: half the distance from 1 to the next number of the type.
constexpr double roundoff(Type type) {
    return type == Type::fp16 ? 0x1p-11 : 0x1p-24;
}

/// The bits of the nearest fp16 number, ties to even; and the value of such bits.
uint16_t half_bits(double value);
double half_value(uint16_t bits);

/// The nearest number that the type can hold.
double rounded(double value, Type type);
Matrix rounded(Matrix matrix, Type type);

/// Uniform in [-magnitude, magnitude], rounded to `type` so that device and reference start from the same
/// numbers.
Matrix random_matrix(uint32_t rows, uint32_t columns, uint64_t seed, Type type = Type::fp32,
                     double magnitude = 1);

namespace reference {

Matrix transpose(const Matrix& m);

/// op(A) op(B) for the orientation; `magnitude` gives sums of |a||b| in place of a b, which is what errors
/// scale with.
Matrix matmul(const Matrix& a, const Matrix& b, ops::Orientation orientation, bool magnitude = false);

double activation(ops::Activation activation, double x);

struct LayerNorm {
    Matrix output, mean, rstd;  // (T,H), (T,1), (T,1)
};
LayerNorm layernorm(const Matrix& x, const Matrix& gamma, const Matrix& beta, double epsilon);

struct Attention {
    Matrix output, logsumexp;  // (T,H), (T,A)
};
struct DropoutMask;  // reference_random.hpp
/// qkv (T,3H), sequences [offsets[s], offsets[s + 1]).
Attention attention(const Matrix& qkv, const std::vector<uint32_t>& offsets, uint32_t heads, bool causal,
                    const DropoutMask* dropout = nullptr);

/// input[rows].
Matrix gather(const Matrix& input, const std::vector<uint32_t>& rows);
Matrix add(const Matrix& a, const Matrix& b);
Matrix pool(const Matrix& input, const std::vector<uint32_t>& offsets, ops::Pooling pooling);
Matrix normalize_rows(const Matrix& input);
Matrix softmax(const Matrix& logits);

}  // namespace reference
}  // namespace vkbert::test
