// The ops that only training needs: backward passes, dropout, losses and the optimizer. Conventions, letters
// in shapes and errors as in runtime/ops.hpp.
//
// A gradient is d_name. Gradients of activations have the activations' type (fp32, or fp16 where it says
// (fp16)); those of parameters are fp32 and accumulate: d_w += ...
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/ops.hpp"
#include "runtime/training_scalars.hpp"

namespace vkbert::ops {

/// output(T,H) = mask * 256/q * input + residual(T,H), with q and the mask of Dropout: packed row t and
/// column c are kept when byte c % 16 of Philox4x32-7 with counter (c / 16, t, site, step) is less than q.
/// The same op, without residual, is its own backward. Probability 0: input + residual. (fp16) May work in
/// place. Srivastava et al. 2014; Philox: Salmon et al. 2011.
void dropout(Plan&, const std::string& label, const Tensor& output, const Tensor& input, const Dropout&,
             const Tensor* residual = nullptr);

/// d_x(T,F) = d_y f'(x), elementwise; in place when d_x and d_y are the same tensor. (fp16) The derivative of
/// ReLU at zero is zero, as PyTorch has it.
void activation_backward(Plan&, const std::string& label, const Tensor& d_x, const Tensor& d_y,
                         const Tensor& x, Activation);

/// Of y = layernorm_forward(x) with the mean and rstd (T,1) that it kept, n = (x - mean) * rstd and
/// g = d_y * gamma:
///   d_x(T,H) = rstd * (g - mean(g) - n * mean(g * n)) [+ d_x_residual(T,H)] per row,
///   d_gamma(1,H) += sum over rows of d_y * n,   d_beta(1,H) += sum over rows of d_y.
/// d_x, d_y, x, d_x_residual of one type (fp16); d_x may be the same tensor as d_y or d_x_residual. H at most
/// 4096. Ba et al. 2016, by the chain rule.
void layernorm_backward(Plan&, const std::string& label, const Tensor& d_x, const Tensor& d_gamma,
                        const Tensor& d_beta, const Tensor& d_y, const Tensor& x, const Tensor& gamma,
                        const Tensor& mean, const Tensor& rstd, const Tensor* d_x_residual = nullptr);

/// sums(1,N) fp32 = column sums of input(T,N) (fp16), added to what is there when accumulating: d_bias from
/// d_y. The input's pitch is a multiple of 4, N is anything. T may be a run-time extent, 0 too. Long inputs
/// are summed in strips first, whose number follows from T's capacity alone, so the order of a sum is always
/// the same.
void column_sums(Plan&, const std::string& label, const Tensor& sums, const Tensor& input,
                 bool accumulate = true);

/// Every 32-bit word of the tensor's rows becomes `word` (an fp16 tensor's pairs of elements); what lies
/// between the rows stays. Rows are whole words. Run-time rows beyond this run's stay.
void fill(Plan&, const std::string& label, const Tensor&, uint32_t word);

/// output[rows](T,H) = input(R,H), all other rows zero: the backward of gather_rows. rows: (R,1) uint32, all
/// different. (fp16); input may be fp32 with fp16 output. Two dispatches, the first a fill() of the whole
/// output.
void scatter_rows(Plan&, const std::string& label, const Tensor& output, const Tensor& input,
                  const Tensor& rows);

/// Rows [first, first + count) of a list that all belong to one row of a table. Their sum is added to it when
/// `partial` is 0xffffffff, else it becomes that partial sum.
struct EmbeddingPiece {
    uint32_t first, count, row, partial;
};
/// The tokens of a batch by the row of a table that each was looked up in.
struct EmbeddingBuckets {
    std::vector<uint32_t> order;         // the T tokens, by row, then by place
    std::vector<EmbeddingPiece> pieces;  // of `order`, up to 64 tokens each, by row
    std::vector<EmbeddingPiece> sums;    // of the partial sums of rows with more tokens than that
};
EmbeddingBuckets embedding_buckets(std::span<const uint32_t> ids);
/// The most pieces and sums that `tokens` tokens can need.
uint32_t max_embedding_pieces(uint32_t tokens, uint32_t table_rows);
uint32_t max_embedding_sums(uint32_t tokens);

/// EmbeddingBuckets on the device: order (T,1), pieces (P,4) and sums (Q,4) uint32, P and Q run-time extents.
struct EmbeddingRows {
    Tensor order, pieces, sums;
};
/// d_table(V,H)[id of token t] += d_sum(T,H)[t] for all tokens, those of one id in their order. d_table fp32;
/// larger than maxStorageBufferRange: handled in row blocks. d_sum (fp16). The backward of each table of
/// embedding_forward().
void embedding_backward(Plan&, const std::string& label, const Tensor& d_table, const Tensor& d_sum,
                        const EmbeddingRows& rows);

/// Losses. The training scalars (1,32) uint32 (TrainingScalars) give the factor of every gradient of a loss:
/// loss_weight[loss_index] * loss_scale, so that the host says what the mean is taken over, all micro-batches
/// of an optimizer step included. The losses themselves are written as they are.
constexpr uint32_t max_classes = 120000;
/// What marks a row that is not counted.
constexpr uint32_t ignored_label = 0xffffffff;

/// loss(R,1) = logsumexp(logits) - logits[label] per row, d_logits(R,C) = (softmax(logits) - onehot(label)) *
/// factor. logits(R,C) fp32, C <= max_classes; labels (R,1) uint32. A label of C or more, as ignored_label
/// is: loss and gradient are 0. May work in place of the logits. A choice among n rows of (S,1) logits that
/// lie without gaps is this op on them as (S/n,n).
void cross_entropy(Plan&, const std::string& label, const Tensor& loss, const Tensor& d_logits,
                   const Tensor& logits, const Tensor& labels, const Tensor& scalars,
                   uint32_t loss_index = 0);

/// The same over the tokens of each sequence, in each of C columns (start and end of an answer: 2): softmax
/// over rows offsets[s]..offsets[s+1] of logits(T,C); labels (S,C) uint32 count from the sequence's first
/// token; loss (S,C). offsets: (S+1,1) uint32. Devlin et al. 2018, section 4.2.
void segment_cross_entropy(Plan&, const std::string& label, const Tensor& loss, const Tensor& d_logits,
                           const Tensor& logits, const Tensor& offsets, const Tensor& labels,
                           const Tensor& scalars, uint32_t loss_index = 0);

/// loss(R,1) = (prediction - target)^2, d_predictions(R,1) = 2 (prediction - target) * factor. fp32;
/// predictions and d_predictions may have gaps between their rows.
void mean_squared_error(Plan&, const std::string& label, const Tensor& loss, const Tensor& d_predictions,
                        const Tensor& predictions, const Tensor& targets, const Tensor& scalars,
                        uint32_t loss_index = 0);

/// From the gradients of an optimizer step, (1,N) fp32 ranges of the gradient arena with N a multiple of 4
/// (what lies between parameters is zero): gradient_norm, gradient_factor, overflow and all else that the
/// training scalars keep on the device. Clips as torch.nn.utils.clip_grad_norm_ does and scales the loss as
/// torch.amp.GradScaler does: an element that is not finite skips the step and halves the loss scale,
/// growth_interval steps without double it. Each range may be larger than maxStorageBufferRange. Once a step,
/// before adamw(). Micikevicius et al. 2018, section 3.2.
void gradient_norm(Plan&, const std::string& label, const Tensor& scalars,
                   const std::vector<Tensor>& gradients);

struct AdamWOptions {
    float learning_rate_factor = 1;  // of this group: layer-wise decay; 0 leaves the weights as they are
    bool decays = true;              // weight decay; not for biases and LayerNorm
    const Tensor* weights_fp16 = nullptr;  // (1,N) fp16, kept equal to the weights
};
/// One step on the weights, all tensors (1,N) fp32 ranges with N a multiple of 4, with g = gradient *
/// gradient_factor (clipping and loss scale):
///   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,
///   w -= lr * (m / c1 / (sqrt(v / c2) + epsilon) + weight_decay * w),   gradient = 0,
/// c1 and c2 being 1 - beta^n (AdamW, Loshchilov & Hutter 2019, as PyTorch has it) or 1 (the BertAdam of
/// Devlin et al.'s code, whose epsilon is 1e-6). After an overflow the gradient is zeroed and nothing else
/// changes.
void adamw(Plan&, const std::string& label, const Tensor& weights, const Tensor& gradient,
           const Tensor& first_moment, const Tensor& second_moment, const Tensor& scalars,
           const AdamWOptions& options = {});

/// d_qkv(T,3H): the gradients of attention_forward's queries, keys and values, from d_output(T,H) and from
/// what the forward pass read and kept: qkv(T,3H), output(T,H), logsumexp(T,A), the same tiles (as
/// attention_tiles() makes them) and the same options (heads, causal, dropout, pairs). (fp16) Weights are
/// recomputed from logsumexp; one pass has tiles of queries, the other tiles of keys, neither adds to memory
/// twice. Dao 2023 (FlashAttention-2), algorithm 2.
void attention_backward(Plan&, const std::string& label, const Tensor& d_qkv, const Tensor& d_output,
                        const Tensor& qkv, const Tensor& output, const Tensor& logsumexp, const Tensor& tiles,
                        const AttentionOptions&);

}  // namespace vkbert::ops
