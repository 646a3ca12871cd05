#include "tools/selftest/reference_training.hpp"

#include <algorithm>
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

Matrix embedding_backward(const Matrix& d_sum, const std::vector<uint32_t>& ids, uint32_t table_rows) {
    Matrix d_table(table_rows, d_sum.columns);
    for (uint32_t row = 0; row < d_sum.rows; row++)
        for (uint32_t c = 0; c < d_sum.columns; c++) d_table(ids[row], c) += d_sum(row, c);
    return d_table;
}

Loss cross_entropy(const Matrix& logits, const std::vector<uint32_t>& labels, double factor) {
    Loss result{Matrix(logits.rows, 1), Matrix(logits.rows, logits.columns)};
    for (uint32_t row = 0; row < logits.rows; row++) {
        const uint32_t label = labels[row];
        if (label >= logits.columns) continue;
        double largest = logits(row, 0), sum = 0;
        for (uint32_t c = 0; c < logits.columns; c++) largest = std::max(largest, logits(row, c));
        for (uint32_t c = 0; c < logits.columns; c++) sum += std::exp(logits(row, c) - largest);
        for (uint32_t c = 0; c < logits.columns; c++)
            result.gradient(row, c) = std::exp(logits(row, c) - largest) / sum * factor;
        result.gradient(row, label) -= factor;
        result.loss(row, 0) = std::log(sum) + largest - logits(row, label);
    }
    return result;
}

Loss segment_cross_entropy(const Matrix& logits, const std::vector<uint32_t>& offsets,
                           const std::vector<uint32_t>& labels, double factor) {
    const auto sequences = uint32_t(offsets.size() - 1);
    Loss result{Matrix(sequences, logits.columns), Matrix(logits.rows, logits.columns)};
    for (uint32_t s = 0; s < sequences; s++)
        for (uint32_t column = 0; column < logits.columns; column++) {
            Matrix line(1, offsets[s + 1] - offsets[s]);
            for (uint32_t i = 0; i < line.columns; i++) line(0, i) = logits(offsets[s] + i, column);
            const Loss one = cross_entropy(line, {labels[size_t(s) * logits.columns + column]}, factor);
            for (uint32_t i = 0; i < line.columns; i++)
                result.gradient(offsets[s] + i, column) = one.gradient(0, i);
            result.loss(s, column) = one.loss(0, 0);
        }
    return result;
}

Loss mean_squared_error(const Matrix& predictions, const Matrix& targets, double factor) {
    Loss result{Matrix(predictions.rows, 1), Matrix(predictions.rows, 1)};
    for (uint32_t row = 0; row < predictions.rows; row++) {
        const double error = predictions(row, 0) - targets(row, 0);
        result.loss(row, 0) = error * error;
        result.gradient(row, 0) = 2 * error * factor;
    }
    return result;
}

double optimizer_step(const TrainingScalars& scalars, std::vector<OptimizerGroup>& groups,
                      const std::vector<Matrix>& gradients) {
    double squares = 0;
    for (const Matrix& gradient : gradients) squares += inner_product(gradient, gradient);
    const double norm = std::sqrt(squares) / scalars.loss_scale;
    const double most = scalars.max_gradient_norm;
    const double factor = (most > 0 ? std::min(1.0, most / (norm + 1e-6)) : 1.0) / scalars.loss_scale;
    const double steps = scalars.applied_steps + 1.0;
    // The rounded differences from 1 lie far closer to the exact ones than those of the rounded betas.
    const double beta1 = 1.0 - scalars.one_minus_beta1, beta2 = 1.0 - scalars.one_minus_beta2;
    const bool correct = scalars.bias_correction != 0;
    const double correction1 = correct ? 1 - std::pow(beta1, steps) : 1;
    const double correction2 = correct ? 1 - std::pow(beta2, steps) : 1;
    for (size_t i = 0; i < groups.size(); i++) {
        OptimizerGroup& group = groups[i];
        const double rate = scalars.learning_rate * group.learning_rate_factor;
        for (uint32_t c = 0; c < group.weights.columns; c++) {
            const double g = gradients[i](0, c) * factor;
            double &m = group.first_moment(0, c), &v = group.second_moment(0, c), &w = group.weights(0, c);
            m = beta1 * m + (1 - beta1) * g;
            v = beta2 * v + (1 - beta2) * g * g;
            const double update = m / correction1 / (std::sqrt(v / correction2) + scalars.epsilon);
            w -= rate * (update + (group.decays ? scalars.weight_decay * w : 0));
        }
    }
    return norm;
}

}  // namespace vkbert::test::reference
