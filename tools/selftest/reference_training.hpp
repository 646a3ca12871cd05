// What training needs once more, on the host and in double precision: the gradients of LayerNorm and of
// embedding tables, the losses, and the optimizer.
#pragma once

#include <functional>

#include "tools/selftest/reference.hpp"

namespace vkbert::test::reference {

/// The gradient of `loss` at `x` by central differences of step `step`.
Matrix finite_differences(const Matrix& x, const std::function<double(const Matrix&)>& loss,
                          double step = 1e-5);

/// Sum of products of the elements.
double inner_product(const Matrix& a, const Matrix& b);

struct LayerNormGradients {
    Matrix d_x, d_gamma, d_beta;  // (T,H), (1,H), (1,H)
};
LayerNormGradients layernorm_backward(const Matrix& d_y, const Matrix& x, const Matrix& gamma,
                                      double epsilon);

}  // namespace vkbert::test::reference
