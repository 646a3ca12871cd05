#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/ops/attention.hpp"
#include "runtime/ops/common.hpp"
#include "runtime/ops/dropout.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/attention_forward.h"
}

VKBERT_DECLARE_SHADER(attention_forward_fp32)
VKBERT_DECLARE_SHADER(attention_forward_fp16)
VKBERT_DECLARE_SHADER(attention_forward_texel_fp32)
VKBERT_DECLARE_SHADER(attention_forward_texel_fp16)
VKBERT_DECLARE_SHADER(attention_forward_pointer_fp32)
VKBERT_DECLARE_SHADER(attention_forward_pointer_fp16)
#ifdef VKBERT_COOPERATIVE_MATRIX
VKBERT_DECLARE_SHADER(attention_forward_matrix)
#endif

namespace vkbert::ops {
namespace {

using enum BindingKind;

/// Keys per block of the variants on matrix cores. With 32, compilers for Xe2 spill.
uint32_t matrix_keys(const MatrixShape& shape, uint32_t head_size) {
    return shape.m == 8 && head_size == 64 ? 16 : 32;
}

#ifdef VKBERT_COOPERATIVE_MATRIX
/// Of shaders/attention_forward_matrix.comp, for heads of a size.
uint32_t matrix_shared_memory(const AttentionMatrices& matrices, uint32_t head) {
    const uint32_t rows = matrices.subgroups * matrices.shape.m, keys = matrix_keys(matrices.shape, head);
    const uint32_t stride = 2 * head + 16, column = 2 * keys + 16;
    const uint32_t block = keys * stride + std::max(keys * stride, head * column);
    const uint32_t weights_at = std::max(2 * keys, 4 * matrices.shape.n);
    const uint32_t scores = std::max(4 * keys, weights_at + 2 * keys) + 16;
    const bool held = matrices.shape.m == 16 || head <= 32;
    return (held ? std::max(block, rows * stride) : block + rows * stride) + rows * scores;
}

void add_matrices(std::vector<Kernel>& kernels) {
    for (const AttentionMatrices& matrices : attention_matrices)
        kernels.push_back(
            attention_matrix_kernel("attention_forward", matrices, shaders::attention_forward_matrix,
                                    matrix_shared_memory(matrices, widest_matrix_head(matrices.shape)), 6));
}
#else
void add_matrices(std::vector<Kernel>&) {}
#endif

std::vector<Kernel> make_kernels(const Shader& pointer, const Shader& texels, const Shader& tiled,
                                 bool matrices = false) {
    const std::string_view op = "attention_forward";
    std::vector<Kernel> kernels;
    if (matrices) add_matrices(kernels);
    const Kernel others[] = {
        {.op = op,
         .name = "pointer",
         .shader = &pointer,
         .requirements = attention_pointer_needs,
         .constants = {attention_pointer_needs.invocations},
         .bindings = {storage, storage, storage, storage, storage, storage, address}},
        {.op = op,
         .name = "texel",
         .shader = &texels,
         .requirements = attention_texel_needs,
         .constants = {attention_texel_needs.invocations},
         .bindings = {storage, storage, texel, storage, storage, storage}},
        {.op = op,
         .name = "tiled",
         .shader = &tiled,
         .requirements = {.invocations = 64, .shared_memory = attention_least_shared_memory},
         .constants = {64},
         .bindings = {storage, storage, storage, storage, storage, storage}}};
    kernels.insert(kernels.end(), std::begin(others), std::end(others));
    return kernels;
}

/// Keys per block of the tiled variant: the most that fit the shared memory (see attention_forward.comp).
uint32_t tiled_keys(uint32_t head_size, bool drops) {
    const uint32_t words = words_of_head(head_size), rows = attention_tile_rows, lanes = 8;
    const uint32_t stride = 16 * (words + 1);
    const uint32_t fixed = (words <= 32 ? rows * stride : 16) + rows * lanes * 4;
    const auto bytes = [&](uint32_t keys) {
        const uint32_t drop_words = drops ? rows * ((keys + 15) / 16 * 4) : 1;
        return fixed + keys * stride + rows * (keys + 1) * 4 + drop_words * 4;
    };
    uint32_t keys = 32;
    while (keys > lanes && bytes(keys) > attention_least_shared_memory) keys -= lanes;
    return keys;
}

/// Parts of the tiled variant's workgroup. With two an invocation holds the sums of four rows, of wide heads
/// more than Intel's compilers have registers for beside dropout.
uint32_t tiled_parts(const Capabilities& capabilities, uint32_t head_size, bool drops) {
    const uint32_t widest = drops ? 64 : 128;
    return words_of_head(head_size) % 2 == 0 && head_size <= widest &&
                   keeps_in_registers(capabilities, {.registers = 112})
               ? 2
               : 1;
}

constexpr WidestMatrixHeads widest_matrix_heads{128, 64};

/// Compilers for Intel's matrices load pairs of elements that are neighbours along K (Lunar Lake: 30 to 40%
/// fewer cycles); for AMD's it makes no difference. llvmpipe's are for tests alone, which see both ways.
bool turns_values_round(const MatrixShape& shape, uint32_t head_size) {
    return shape.m == 8 && (shape.n == 16 || head_size > 32);
}

/// The specialization constants after the kernel's own.
std::vector<uint32_t> constants_of(const Capabilities& capabilities, const Kernel& kernel, uint32_t head_size,
                                   uint32_t kept, const AttentionOptions& options) {
    std::vector<uint32_t> constants{head_size, uint32_t(options.causal),
                                    uint32_t(options.logsumexp != nullptr), kept};
    if (kernel.requirements.matrix.m != 0) {
        const std::vector<uint32_t> matrices = attention_matrix_constants(kernel);
        constants.push_back(matrix_keys(kernel.requirements.matrix, head_size));
        constants.insert(constants.end(), matrices.begin(), matrices.end());
        constants.push_back(uint32_t(turns_values_round(kernel.requirements.matrix, head_size)));
    } else if (kernel.requirements.shared_memory > 0) {
        constants.push_back(tiled_keys(head_size, kept < 256));
        constants.push_back(tiled_parts(capabilities, head_size, kept < 256));
    }
    return constants;
}

}  // namespace

Kernel attention_matrix_kernel(std::string_view op, const AttentionMatrices& matrices, const Shader& shader,
                               uint32_t shared_memory, size_t bindings) {
    const uint32_t invocations = matrices.subgroups * matrices.subgroup_size;
    return {.op = op,
            .name = matrices.name,
            .shader = &shader,
            .requirements = {.invocations = invocations,
                             .shared_memory = shared_memory,
                             .min_subgroup_size = 4,
                             .subgroup_arithmetic = true,
                             .subgroup_shuffle = true,
                             .matrix = matrices.shape},
            .constants = {invocations},
            .bindings = std::vector<BindingKind>(bindings, storage),
            .required_subgroup_size = matrices.subgroup_size};
}

std::vector<uint32_t> attention_matrix_constants(const Kernel& kernel) {
    const MatrixShape& shape = kernel.requirements.matrix;
    return {kernel.requirements.invocations / kernel.required_subgroup_size, shape.m, shape.n, shape.k};
}

bool supports_attention(const Kernel& kernel, uint32_t head_size) {
    return kernel.requirements.matrix.m == 0 ||
           (head_size % 32 == 0 && head_size <= widest_matrix_head(kernel.requirements.matrix));
}

const Kernel& choose_attention(const Plan& plan, std::span<const Kernel> (*kernels)(Type), Type type,
                               const std::vector<Binding>& bindings, uint32_t head_size,
                               const WidestMatrixHeads& widest) {
    std::span<const Kernel> table = kernels(type);
    const Capabilities& capabilities = plan.capabilities();
    const Kernel* const forced = forced_of_type(kernels, type, capabilities, plan.choices());
    if (forced != nullptr && supports_attention(*forced, head_size)) return *forced;
    const Kernel* const tuned = tuned_fitting(plan, table, bindings, type, {.columns = head_size});
    if (tuned != nullptr && supports_attention(*tuned, head_size)) return *tuned;
    for (; table.front().requirements.matrix.m != 0; table = table.subspan(1)) {
        const Kernel& kernel = table.front();
        const uint32_t most = kernel.requirements.matrix.m == 8 ? widest.of_8_rows : widest.of_16_rows;
        if (capabilities.device_class != DeviceClass::cpu && satisfies(capabilities, kernel) &&
            supports_attention(kernel, head_size) && head_size <= most)
            return kernel;
    }
    return first_fitting(capabilities, table, bindings);
}

void check_attention(const std::string& label, std::string_view op, const Tensor& output, const Tensor& qkv,
                     const Tensor& tiles, uint32_t heads) {
    const auto expect = [&](bool condition, std::string_view what) {
        if (!condition) fail(ErrorCode::invalid_argument, "{}: expected {}: {}", label, op, what);
    };
    expect(is_matrix4(output) && is_matrix4(qkv) && output.type == qkv.type,
           "one type, columns and pitches that are multiples of 4");
    expect(qkv.rows == output.rows && qkv.columns == 3 * output.columns, "output (T,H) and qkv (T,3H)");
    expect(heads > 0 && output.columns % heads == 0, "H that is a multiple of the number of heads");
    const uint32_t head_size = output.columns / heads;
    expect(head_size <= 256, "heads of at most 256");
    expect(output.type == Type::fp32 || head_size % 2 == 0, "an even head size for fp16");
    expect(tiles.type == Type::uint32 && tiles.columns == 4 && tiles.pitch == 4, "tiles (tiles,4) uint32");
}

bool is_per_head(const Tensor& tensor, const Tensor& output, uint32_t heads) {
    return tensor.type == Type::fp32 && tensor.rows == output.rows && tensor.columns == heads &&
           tensor.pitch == heads;
}

float attention_scale(uint32_t head_size) {
    const double log2_e = 1.4426950408889634;
    return float(log2_e / std::sqrt(double(head_size)));
}

std::span<const Kernel> attention_forward_kernels(Type type) {
    static const std::vector<Kernel> fp32 =
        make_kernels(shaders::attention_forward_pointer_fp32, shaders::attention_forward_texel_fp32,
                     shaders::attention_forward_fp32);
    static const std::vector<Kernel> fp16 =
        make_kernels(shaders::attention_forward_pointer_fp16, shaders::attention_forward_texel_fp16,
                     shaders::attention_forward_fp16, true);
    return type == Type::fp16 ? fp16 : fp32;
}

std::vector<AttentionTile> attention_tiles(const std::vector<uint32_t>& offsets) {
    if (offsets.size() < 2) return {};
    std::vector<size_t> order(offsets.size() - 1);
    std::iota(order.begin(), order.end(), size_t(0));
    const auto length = [&](size_t s) { return offsets[s + 1] - offsets[s]; };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return length(a) > length(b); });
    std::vector<AttentionTile> tiles;
    for (const size_t s : order)
        for (uint32_t row = offsets[s]; row < offsets[s + 1]; row += attention_tile_rows)
            tiles.push_back(
                {row, std::min(attention_tile_rows, offsets[s + 1] - row), offsets[s], length(s)});
    return tiles;
}

uint32_t max_attention_tiles(uint32_t tokens, uint32_t sequences) {
    // A sequence of n tokens has at most (n + 15) / 16 tiles, and at least one token a tile.
    const uint64_t most =
        (uint64_t(tokens) + uint64_t(attention_tile_rows - 1) * sequences) / attention_tile_rows;
    return uint32_t(std::min<uint64_t>(tokens, most));
}

void attention_forward(Plan& plan, const std::string& label, const Tensor& output, const Tensor& qkv,
                       const Tensor& tiles, const AttentionOptions& options) {
    check_attention(label, "attention_forward", output, qkv, tiles, options.heads);
    check(options.logsumexp == nullptr || is_per_head(*options.logsumexp, output, options.heads), label,
          "attention_forward: logsumexp (T,A) fp32");
    const uint32_t head_size = output.columns / options.heads;
    const uint32_t kept = options.dropout != nullptr ? dropout_kept(*options.dropout, label) : 256;
    Dispatch dispatch;
    dispatch.label = label;
    dispatch.bindings = {
        {plan.counts()},
        {tiles},
        {qkv},
        {output, Access::write},
        options.logsumexp != nullptr ? Binding{*options.logsumexp, Access::write} : Binding{plan.counts()},
        {kept < 256 ? options.dropout->state : plan.counts()}};
    const Kernel& kernel = choose_attention(plan, attention_forward_kernels, qkv.type, dispatch.bindings,
                                            head_size, widest_matrix_heads);
    dispatch.kernel = &kernel;
    dispatch.constants = constants_of(plan.capabilities(), kernel, head_size, kept, options);
    if (kernel.bindings.back() == address) dispatch.bindings.push_back({qkv});
    dispatch.set_push(AttentionForwardPush{output.columns / 4, qkv.pitch / 4, output.pitch / 4, options.heads,
                                           kept < 256 ? options.dropout->site : 0,
                                           attention_scale(head_size)});
    dispatch.groups = {Groups{tiles.rows}, Groups{options.heads}, Groups{}};
    // Every pair of a query and a key: two products of head_size and an exponential, in every head.
    dispatch.work = {.extent = options.pairs, .flops_per_row = 4.0 * output.columns + 4.0 * options.heads};
    dispatch.work.bytes = 4.0 * output.columns * output.rows.capacity * size_of(output.type);
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
