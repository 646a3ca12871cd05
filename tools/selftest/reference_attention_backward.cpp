#include <cmath>

#include "tools/selftest/reference_backward.hpp"
#include "tools/selftest/reference_random.hpp"

namespace vkbert::test::reference {
namespace {

/// One head of one query: adds its terms to the gradients of its own row and of those of the keys it sees.
struct Query {
    const Matrix &d_output, &qkv, &output;
    const DropoutMask* dropout;
    double logsumexp;
    uint32_t row, head, head_size, first, end;  // keys [first, end)

    void add_to(AttentionGradient& gradient) const {
        const uint32_t hidden = output.columns, begin = head * head_size;
        const double scale = 1 / std::sqrt(double(head_size));
        double delta = 0, delta_magnitude = 0;
        for (uint32_t c = begin; c < begin + head_size; c++) {
            delta += d_output(row, c) * output(row, c);
            delta_magnitude += std::fabs(d_output(row, c) * output(row, c));
        }
        for (uint32_t key = first; key < end; key++) {
            double score = 0, product = 0, product_magnitude = 0;
            for (uint32_t c = begin; c < begin + head_size; c++) {
                score += scale * qkv(row, c) * qkv(key, hidden + c);
                product += d_output(row, c) * qkv(key, 2 * hidden + c);
                product_magnitude += std::fabs(d_output(row, c) * qkv(key, 2 * hidden + c));
            }
            const double weight = std::exp(score - logsumexp);
            const double factor = dropout ? dropout->attention_factor(row, head, key - first) : 1;
            const double d_score = weight * (factor * product - delta) * scale;
            const double size = weight * (factor * product_magnitude + delta_magnitude) * scale;
            const auto add = [&](uint32_t to, uint32_t column, double share, double magnitude, double value) {
                gradient.d_qkv(to, column) += share * value;
                gradient.magnitude(to, column) += magnitude * std::fabs(value);
            };
            for (uint32_t c = begin; c < begin + head_size; c++) {
                add(row, c, d_score, size, qkv(key, hidden + c));
                add(key, hidden + c, d_score, size, qkv(row, c));
                add(key, 2 * hidden + c, weight * factor, weight * factor, d_output(row, c));
            }
        }
    }
};

}  // namespace

AttentionGradient attention_backward(const Matrix& d_output, const Matrix& qkv, const Matrix& output,
                                     const std::vector<uint32_t>& offsets, uint32_t heads, bool causal,
                                     const DropoutMask* dropout) {
    AttentionGradient gradient{Matrix(qkv.rows, qkv.columns), Matrix(qkv.rows, qkv.columns)};
    const Matrix logsumexp = attention(qkv, offsets, heads, causal).logsumexp;
    for (size_t s = 0; s + 1 < offsets.size(); s++)
        for (uint32_t row = offsets[s]; row < offsets[s + 1]; row++)
            for (uint32_t head = 0; head < heads; head++)
                Query{d_output,
                      qkv,
                      output,
                      dropout,
                      logsumexp(row, head),
                      row,
                      head,
                      output.columns / heads,
                      offsets[s],
                      causal ? row + 1 : offsets[s + 1]}
                    .add_to(gradient);
    return gradient;
}

}  // namespace vkbert::test::reference
