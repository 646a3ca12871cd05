// The backward ops in double precision, beside reference.hpp.
#pragma once

#include "tools/selftest/reference.hpp"

namespace vkbert::test::reference {

/// f'(x); zero for ReLU at zero.
double activation_slope(ops::Activation activation, double x);

/// (1,N): the sum of each column.
Matrix column_sums(const Matrix& m);

/// (rows,H): input's rows at their places, zeros elsewhere; the transpose of gather().
Matrix scatter(const Matrix& input, const std::vector<uint32_t>& at, uint32_t rows);

struct AttentionGradient {
    Matrix d_qkv;      // (T,3H)
    Matrix magnitude;  // (T,3H): sums of the magnitudes of the terms, which errors scale with
};
/// Of attention(); output is its result, as it was stored.
AttentionGradient attention_backward(const Matrix& d_output, const Matrix& qkv, const Matrix& output,
                                     const std::vector<uint32_t>& offsets, uint32_t heads, bool causal,
                                     const DropoutMask* dropout = nullptr);

}  // namespace vkbert::test::reference
