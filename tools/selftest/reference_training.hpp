// What training needs once more, on the host and in double precision: the gradients of LayerNorm and of
// embedding tables, the losses, and the optimizer.
#pragma once

#include <functional>
#include <vector>

#include "runtime/training_scalars.hpp"
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

/// The rows of d_sum(T,H) added up by the id of each: (table_rows,H).
Matrix embedding_backward(const Matrix& d_sum, const std::vector<uint32_t>& ids, uint32_t table_rows);

struct Loss {
    Matrix loss, gradient;  // of each row or of each sequence and column; of the sum of those, times `factor`
};
/// Over the columns of each row; a label that is no column is not counted.
Loss cross_entropy(const Matrix& logits, const std::vector<uint32_t>& labels, double factor);
/// Over rows offsets[s]..offsets[s+1] of each column; labels of (S,C) row by row.
Loss segment_cross_entropy(const Matrix& logits, const std::vector<uint32_t>& offsets,
                           const std::vector<uint32_t>& labels, double factor);
Loss mean_squared_error(const Matrix& predictions, const Matrix& targets, double factor);

/// Parameters (1,N) with one learning rate and their moments.
struct OptimizerGroup {
    Matrix weights, first_moment, second_moment;
    double learning_rate_factor = 1;
    bool decays = true;
};
/// One step of ops::gradient_norm and ops::adamw with the scalars that the host writes, the loss scale and
/// applied_steps, on gradients that are all finite. Returns the norm before clipping.
double optimizer_step(const TrainingScalars& scalars, std::vector<OptimizerGroup>& groups,
                      const std::vector<Matrix>& gradients);

}  // namespace vkbert::test::reference
