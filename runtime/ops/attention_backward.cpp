#include <algorithm>

#include "runtime/ops/attention.hpp"
#include "runtime/ops/common.hpp"
#include "runtime/ops/dropout.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/attention_backward.h"
}

VKBERT_DECLARE_SHADER(attention_backward_fp32)
VKBERT_DECLARE_SHADER(attention_backward_fp16)
VKBERT_DECLARE_SHADER(attention_backward_texel_fp32)
VKBERT_DECLARE_SHADER(attention_backward_texel_fp16)
VKBERT_DECLARE_SHADER(attention_backward_pointer_fp32)
VKBERT_DECLARE_SHADER(attention_backward_pointer_fp16)
#ifdef VKBERT_COOPERATIVE_MATRIX
VKBERT_DECLARE_SHADER(attention_backward_matrix)
#endif

namespace vkbert::ops {
namespace {

using enum BindingKind;

constexpr uint32_t most_shared_memory = 32768;  // more would leave too few workgroups on a processor

#ifdef VKBERT_COOPERATIVE_MATRIX
constexpr uint32_t matrix_others = 32;

/// Of shaders/attention_backward_matrix.comp, for the widest heads.
uint32_t matrix_shared_memory(const AttentionMatrices& matrices) {
    const uint32_t rows = matrices.subgroups * matrices.shape.m,
                   stride = 2 * widest_matrix_head(matrices.shape) + 16;
    const uint32_t drops = matrix_others * rows / 16 * 16;
    return std::max(2 * matrix_others, rows) * stride + rows * 144 + 8 * matrix_others + drops;
}

void add_matrices(std::vector<Kernel>& kernels) {
    for (const AttentionMatrices& matrices : attention_matrices)
        kernels.push_back(attention_matrix_kernel("attention_backward", matrices,
                                                  shaders::attention_backward_matrix,
                                                  matrix_shared_memory(matrices), 9));
}
#else
constexpr uint32_t matrix_others = 0;
void add_matrices(std::vector<Kernel>&) {}
#endif

std::vector<Kernel> make_kernels(const Shader& pointer, const Shader& texels, const Shader& tiled,
                                 bool matrices = false) {
    const std::string_view op = "attention_backward";
    std::vector<Kernel> kernels;
    if (matrices) add_matrices(kernels);
    const Kernel others[] = {
        {.op = op,
         .name = "pointer",
         .shader = &pointer,
         .requirements = attention_pointer_needs,
         .constants = {attention_pointer_needs.invocations},
         .bindings = {storage, storage, storage, storage, storage, storage, storage, storage, storage,
                      address, address}},
        {.op = op,
         .name = "texel",
         .shader = &texels,
         .requirements = attention_texel_needs,
         .constants = {attention_texel_needs.invocations},
         .bindings = {storage, storage, texel, storage, storage, storage, texel, storage, storage}},
        {.op = op,
         .name = "tiled",
         .shader = &tiled,
         .requirements = {.invocations = 64,
                          .shared_memory = attention_least_shared_memory,
                          .registers = 112},
         .constants = {64},
         .bindings = {storage, storage, storage, storage, storage, storage, storage, storage, storage},
         .stays_general = true},
        {.op = op,
         .name = "tiled_wide",
         .shader = &tiled,
         .requirements = {.invocations = 256, .shared_memory = most_shared_memory},
         .constants = {256},
         .bindings = {storage, storage, storage, storage, storage, storage, storage, storage, storage},
         .stays_general = true}};
    kernels.insert(kernels.end(), std::begin(others), std::end(others));
    return kernels;
}

/// Lanes a row of a tiled variant.
uint32_t lanes_of(const Kernel& kernel) {
    return kernel.constants[0] == 256 ? 16 : 8;
}

constexpr WidestMatrixHeads widest_matrix_heads{64, 0};

/// Beyond this head size `tiled` spills (Adreno 630 at 128): `tiled_wide` has a quarter of it in an
/// invocation's registers.
constexpr uint32_t widest_tiled_head = 64;

const Kernel& choose(const Plan& plan, Type type, const std::vector<Binding>& bindings, uint32_t head_size) {
    const Kernel& first =
        choose_attention(plan, attention_backward_kernels, type, bindings, head_size, widest_matrix_heads);
    const Kernel& wide = attention_backward_kernels(type).back();
    const auto choice = plan.choices().find("attention_backward");
    const bool forced = choice != plan.choices().end() && choice->second == first.name;
    return !forced && first.name == "tiled" && head_size > widest_tiled_head &&
                   satisfies(plan.capabilities(), wide)
               ? wide
               : first;
}

/// How the tiled variant uses shared memory (see attention_backward.comp).
struct Blocks {
    uint32_t others, shared_own;
};
Blocks tiled_blocks(uint32_t head_size, bool of_keys, bool drops, uint32_t lanes, uint32_t shared_memory) {
    const uint32_t rows = attention_tile_rows, stride = 16 * (words_of_head(head_size) + 1);
    const auto bytes = [&](const Blocks& blocks) {
        const uint32_t weights = rows * (blocks.others + 1) * 4;
        const uint32_t of_others = of_keys ? weights + 2 * blocks.others * 4 : 3 * 4;
        const uint32_t drop_blocks = of_keys ? blocks.others : rows * ((blocks.others + 15) / 16);
        return (blocks.shared_own != 0 ? 2 * rows * stride : 16) + blocks.others * stride + weights +
               of_others + (drops ? drop_blocks : 1) * 16;
    };
    for (const uint32_t shared_own : {1u, 0u})
        for (const uint32_t others : {32u, 24u, 16u, 8u})
            if (others % lanes == 0 && bytes({others, shared_own}) <= shared_memory)
                return {others, shared_own};
    return {lanes, 0};  // for the widest heads 15 KiB with 8 lanes, 21 KiB with 16
}

/// Parts of a tiled variant's workgroup in products of rows. In the pass of keys, which has sums of two
/// gradients in registers, two of them spill beside dropout.
uint32_t tiled_parts(uint32_t head_size, bool of_keys, uint32_t lanes) {
    const bool even = words_of_head(head_size) % 2 == 0;
    return even && !of_keys && lanes == 8 && head_size <= widest_tiled_head ? 2 : 1;
}

/// Both passes take the same tensors; each leaves some alone.
struct Pass {
    const Tensor &d_qkv, &d_output, &qkv, &output, &logsumexp, &delta, &tiles;
    const AttentionOptions& options;
    uint32_t kept;
};

void append_pass(Plan& plan, const std::string& label, const Pass& pass, bool of_keys) {
    const uint32_t head_size = pass.output.columns / pass.options.heads;
    const Tensor none = plan.counts();
    const bool drops = pass.kept < 256;
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.bindings = {{none},
                         {pass.tiles},
                         {pass.qkv},
                         {pass.d_qkv, Access::write},
                         {pass.logsumexp},
                         {drops ? pass.options.dropout->state : none},
                         {pass.d_output},
                         {pass.delta, of_keys ? Access::read : Access::write},
                         {of_keys ? none : pass.output}};
    const Kernel& kernel = choose(plan, pass.qkv.type, dispatch.bindings, head_size);
    dispatch.kernel = &kernel;
    dispatch.constants = {head_size, uint32_t(pass.options.causal), 0, pass.kept, uint32_t(of_keys)};
    if (kernel.requirements.matrix.m != 0) {
        const std::vector<uint32_t> matrices = attention_matrix_constants(kernel);
        dispatch.constants.push_back(matrix_others);
        dispatch.constants.insert(dispatch.constants.end(), matrices.begin(), matrices.end());
    } else if (kernel.requirements.shared_memory > 0) {
        const uint32_t memory = std::min(plan.capabilities().max_shared_memory, most_shared_memory);
        const uint32_t lanes = lanes_of(kernel);
        const Blocks blocks = tiled_blocks(head_size, of_keys, drops, lanes, memory);
        dispatch.constants.insert(dispatch.constants.end(), {blocks.others, blocks.shared_own, lanes,
                                                             tiled_parts(head_size, of_keys, lanes)});
    }
    if (kernel.bindings.back() == address) {
        dispatch.bindings.push_back({pass.qkv});
        dispatch.bindings.push_back({pass.d_output});
    }
    dispatch.set_push(
        AttentionBackwardPush{pass.output.columns / 4, pass.qkv.pitch / 4, pass.d_output.pitch / 4,
                              pass.d_qkv.pitch / 4, pass.output.pitch / 4, pass.options.heads,
                              drops ? pass.options.dropout->site : 0, attention_scale(head_size)});
    dispatch.groups = {Groups{pass.tiles.rows}, Groups{pass.options.heads}, Groups{}};
    // Every pair of a query and a key: three products of head_size, or four, and an exponential.
    const double products = of_keys ? 4 : 3;
    dispatch.work = {.extent = pass.options.pairs,
                     .flops_per_row = 2 * products * pass.output.columns + 6.0 * pass.options.heads};
    dispatch.work.bytes = 6.0 * pass.output.columns * pass.output.rows.capacity * size_of(pass.output.type);
    plan.append(std::move(dispatch));
}

}  // namespace

std::span<const Kernel> attention_backward_kernels(Type type) {
    static const std::vector<Kernel> fp32 =
        make_kernels(shaders::attention_backward_pointer_fp32, shaders::attention_backward_texel_fp32,
                     shaders::attention_backward_fp32);
    static const std::vector<Kernel> fp16 =
        make_kernels(shaders::attention_backward_pointer_fp16, shaders::attention_backward_texel_fp16,
                     shaders::attention_backward_fp16, true);
    return type == Type::fp16 ? fp16 : fp32;
}

void attention_backward(Plan& plan, const std::string& label, const Tensor& d_qkv, const Tensor& d_output,
                        const Tensor& qkv, const Tensor& output, const Tensor& logsumexp, const Tensor& tiles,
                        const AttentionOptions& options) {
    const std::string_view op = "attention_backward";
    check_attention(label, op, output, qkv, tiles, options.heads);
    check_attention(label, op, d_output, d_qkv, tiles, options.heads);
    check(d_output.type == output.type && d_output.rows == output.rows && d_output.columns == output.columns,
          label, "attention_backward: d_output of the output's type and shape");
    check(is_per_head(logsumexp, output, options.heads), label, "attention_backward: logsumexp (T,A) fp32");
    const uint32_t kept = options.dropout != nullptr ? dropout_kept(*options.dropout, label) : 256;
    const Tensor delta = plan.temporary(label + " delta", output.rows, options.heads);
    const Pass pass{d_qkv, d_output, qkv, output, logsumexp, delta, tiles, options, kept};
    append_pass(plan, label + " of queries", pass, false);  // writes delta
    append_pass(plan, label + " of keys", pass, true);
}

}  // namespace vkbert::ops
