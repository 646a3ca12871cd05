// The ops: each checks shapes and appends one dispatch (or a few) to the plan. Letters in shapes: T packed
// tokens, S sequences, H hidden, F feed-forward, A heads, D head size, V vocabulary, M/N/K of a matmul.
//
// Matrices are row-major. Every op accepts fp32 tensors; where it says (fp16) it accepts fp16 storage too,
// computing in fp32. Vectors (biases, gamma, beta), statistics and logits are fp32. Errors: invalid_argument,
// naming the label.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/plan.hpp"

namespace vkbert::ops {

enum class Activation : uint32_t { none, gelu, gelu_tanh, relu, tanh, silu, sigmoid };

enum class Orientation : uint32_t {
    nt,  // C(M,N) = A(M,K)  B(N,K)^T    Y  = X W^T
    nn,  // C(M,N) = A(M,K)  B(K,N)      dX = dY W
    tn,  // C(M,N) = A(K,M)^T B(K,N)     dW = dY^T X
};

/// What a place that drops needs to know. Elements are kept with probability q/256, q = round(256 (1 -
/// probability)) in 1..256, and then scaled by 256/q. shaders/random.glsl makes the mask of the state, the
/// site and the element's place, whatever the device.
struct Dropout {
    float probability = 0;  // in [0,1); 0: nothing is dropped, for nothing
    uint32_t site = 0;      // another one at every place of a model that drops
    Tensor state;           // (1,4) uint32, persistent, written before each run: key low, key high, step, 0
};

struct MatmulOptions {
    Orientation orientation = Orientation::nt;
    const Tensor* bias = nullptr;              // (1,N) fp32, added to every row
    Activation activation = Activation::none;  // applied after the bias
    const Tensor* residual = nullptr;          // (M,N), type of C, added last
    float scale = 1;                           // multiplies A B before everything else
    const Tensor* kept = nullptr;      // (M,N), type and pitch of C: receives what the activation is of
    const Tensor* slope_at = nullptr;  // (M,N), type of C; no bias, no residual: see below
    const Dropout* dropout = nullptr;  // of what the activation gives, as dropout() does; N a multiple of 4
    const Tensor* a_sums = nullptr;    // tn: (1,M) fp32, receives the column sums of A(K,M); no kept
    bool b_in_strips = false;          // nt: B is as strips_of() tells, of weights(N,K)
};

/// fp32 weights(N,K) in the order in which the fastest matmul of some CPU drivers reads them: (rows,columns)
/// of strips of 16 rows of W, those of one column after another. Strip s has W[16 s][0], W[16 s + 1][0], ...
/// W[16 s + 15][0], W[16 s][1], ...; what W does not have may be anything.
struct Strips {
    static constexpr uint32_t width = 16;
    uint32_t rows = 0, columns = 0;
};
Strips strips_of(uint32_t n, uint32_t k);
/// A strip of rows(16,K), K = rows.size() / 16: the first elements of strip, which is as long or longer.
void fill_strip(std::span<const float> rows, std::span<float> strip);
/// Whether weights(N,K) of this type are best kept in strips, for matmuls that all say so
/// (MatmulOptions::b_in_strips).
bool reads_strips(const Capabilities&, Type type, uint32_t n, uint32_t k);

/// C = dropout(activation(scale * A op B + bias)) + residual, or with slope_at the gradient before an
/// activation, C = scale * A op B * activation'(slope_at). The sums of A's columns (the gradient of a bias,
/// if C is that of the weights) are added to what is there where the residual is C itself, and else replace
/// it. Both the dropout and those sums are a matter of the same dispatch on GPUs, and of further ones
/// elsewhere. A, B, C, residual: fp32 or fp16, A and B of one type; C fp32 or A's type. All pitches are
/// multiples of 4, and so is K for nt; for nn A has zeros in its columns from K to the next multiple of 4. M
/// may be a run-time extent for nt and nn, K for tn.
void matmul(Plan&, const std::string& label, const Tensor& c, const Tensor& a, const Tensor& b,
            const MatmulOptions& = {});

/// Rows of queries per attention tile; Tile lists are made for it by attention_tiles().
constexpr uint32_t attention_tile_rows = 16;
/// One attention tile: query rows [row, row + rows) against keys and values [first, first + length) of its
/// sequence.
struct AttentionTile {
    uint32_t row, rows, first, length;
};
/// The tiles of packed sequences with boundaries offsets[0..S], longest sequence first so that no long tile
/// comes last.
std::vector<AttentionTile> attention_tiles(const std::vector<uint32_t>& offsets);
/// The most tiles that `tokens` tokens in `sequences` sequences can need.
uint32_t max_attention_tiles(uint32_t tokens, uint32_t sequences);

struct AttentionOptions {
    uint32_t heads = 1;
    bool causal = false;
    Extent pairs = 1u;  // sum over tiles of rows * length: only tells the profiler how much work there is
    const Tensor* logsumexp =
        nullptr;  // (T,A) fp32: natural logarithm of the sum of exp(scaled scores), when asked for
    const Dropout* dropout = nullptr;  // of the probabilities, after the softmax
};
/// output(T,H) = softmax(Q K^T / sqrt(D)) V per head over each packed sequence; qkv is (T,3H): queries, keys,
/// values. (fp16) Any D up to 256. tiles: (tiles,4) uint32, rows of AttentionTile. Vaswani et al. 2017,
/// equation 1; dropped, if at all, with column = key counted within its sequence and block = head << 16 | key
/// / 16; the running maximum and sum are Milakov & Gimelshein 2018, algorithm 3.
void attention_forward(Plan&, const std::string& label, const Tensor& output, const Tensor& qkv,
                       const Tensor& tiles, const AttentionOptions&);

/// output(T,H) = gamma * (x - mean(x)) / sqrt(var(x) + epsilon) + beta per row, variance about the mean in
/// two passes. (fp16) gamma, beta: (1,H). mean, rstd: (T,1) fp32, kept when given. Ba et al. 2016.
struct LayerNormOptions {
    float epsilon = 1e-12f;
    const Tensor* mean = nullptr;
    const Tensor* rstd = nullptr;
};
void layernorm_forward(Plan&, const std::string& label, const Tensor& output, const Tensor& input,
                       const Tensor& gamma, const Tensor& beta, const LayerNormOptions& = {});

struct EmbeddingTables {
    Tensor word;      // (V,H); larger than maxStorageBufferRange: handled in row blocks
    Tensor position;  // (P,H)
    Tensor type;      // (2,H)
};
/// sum(T,H) = word[ids] + position[positions] + type[types]. ids, positions, types: (1,T) uint32 held as
/// (T,1). Output and tables (fp16). Devlin et al. 2018, figure 2. Indices must be in range: the caller
/// checks.
void embedding_forward(Plan&, const std::string& label, const Tensor& sum, const Tensor& ids,
                       const Tensor& positions, const Tensor& types, const EmbeddingTables&);

enum class Pooling : uint32_t { mean, max, first };
/// output(S,H) from rows offsets[s]..offsets[s+1] of input(T,H) (fp16); output fp32. offsets: (S+1,1) uint32.
void pool_forward(Plan&, const std::string& label, const Tensor& output, const Tensor& input,
                  const Tensor& offsets, Pooling);

/// output row = input row / max(|input row|_2, 1e-12) (PyTorch's functional.normalize). fp32.
void normalize_rows(Plan&, const std::string& label, const Tensor& output, const Tensor& input);

/// output(R,H) = input[rows]; rows: (R,1) uint32. (fp16); output may be fp32 with fp16 input.
void gather_rows(Plan&, const std::string& label, const Tensor& output, const Tensor& input,
                 const Tensor& rows);

/// probabilities(R,C) = softmax over each row of logits(R,C), fp32; in place when both are the same tensor.
void softmax_forward(Plan&, const std::string& label, const Tensor& probabilities, const Tensor& logits);

/// The k <= 128 largest values of each row, descending, ties by lower index: values (R,k) fp32, indices (R,k)
/// uint32.
void top_k(Plan&, const std::string& label, const Tensor& values, const Tensor& indices, const Tensor& input);

/// output(N,T) = input(T,N)^T, and zeros in its columns from T up to the next multiple of 4. (fp16) Pitches
/// are multiples of 4, N is anything; T may be a run-time extent, columns beyond it stay.
void transpose(Plan&, const std::string& label, const Tensor& output, const Tensor& input);

/// output = input, converted between fp32 and fp16 (round to nearest even). Same shape.
void cast(Plan&, const std::string& label, const Tensor& output, const Tensor& input);

/// Every variant of every op, for `vkbert selftest`, `vkbert devices`, tests and the laboratory.
struct KernelTable {
    std::string_view op;
    std::span<const Kernel> kernels;
};
std::vector<KernelTable> all_kernels();

}  // namespace vkbert::ops
