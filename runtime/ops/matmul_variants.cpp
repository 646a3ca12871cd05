#include "runtime/ops/matmul_variants.hpp"

#include <algorithm>
#include <vector>

#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/matmul_pack.h"
}

VKBERT_DECLARE_SHADER(matmul_buffers)
VKBERT_DECLARE_SHADER(matmul_packed)
VKBERT_DECLARE_SHADER(matmul_plain_fp32)
VKBERT_DECLARE_SHADER(matmul_plain_fp16)
VKBERT_DECLARE_SHADER(matmul_pointer_fp32)
VKBERT_DECLARE_SHADER(matmul_pointer_fp16)
VKBERT_DECLARE_SHADER(matmul_tiled_4_fp32)
VKBERT_DECLARE_SHADER(matmul_tiled_4_fp16)
VKBERT_DECLARE_SHADER(matmul_tiled_8_fp32)
VKBERT_DECLARE_SHADER(matmul_tiled_8_fp16)
VKBERT_DECLARE_SHADER(matmul_tiled_pairs)
VKBERT_DECLARE_SHADER(matmul_tiled_dot)
VKBERT_DECLARE_SHADER(matmul_texel_16_fp32)
VKBERT_DECLARE_SHADER(matmul_texel_16_fp16)
VKBERT_DECLARE_SHADER(matmul_texel_4_fp32)
VKBERT_DECLARE_SHADER(matmul_texel_4_fp16)
#ifdef VKBERT_COOPERATIVE_MATRIX
VKBERT_DECLARE_SHADER(matmul_matrix_2x4)
VKBERT_DECLARE_SHADER(matmul_matrix_2x2)
#endif
#ifdef VKBERT_COOPERATIVE_MATRIX2
VKBERT_DECLARE_SHADER(matmul_matrix_2x4_nv)
VKBERT_DECLARE_SHADER(matmul_matrix_2x2_nv)
#endif

namespace vkbert::ops {
namespace {

struct Variants {
    std::vector<Kernel> kernels;
    std::vector<MatmulTile> tiles;  // of kernels
};

using enum BindingKind;

/// Counts, A, B, C, bias, residual, what is kept or summed beside C, the state of dropout.
const std::vector<BindingKind> of_gpus(8, storage);

void add_plain(Variants& variants, const Shader& shader) {
    constexpr uint32_t invocations = 64;
    Kernel kernel{"matmul", "plain", &shader, {}, {invocations}, of_gpus};
    kernel.requirements.invocations = invocations;
    variants.kernels.push_back(std::move(kernel));
    variants.tiles.push_back({Algorithm::plain, 4, 4 * invocations});
}

/// How shaders/matmul_tiled.comp cuts C: tile x tile a workgroup, side x side an invocation, steps of bk.
struct TiledTiles {
    const Shader* shader;
    uint32_t tile, side, bk, registers;
    MatmulTile::Loop loop = MatmulTile::Loop::plain;
};

void add_tiled(Variants& variants, std::string_view name, const TiledTiles& t) {
    using enum MatmulTile::Loop;
    const uint32_t invocations = t.tile / t.side * (t.tile / t.side);
    const bool in_pairs = t.loop == pairs || t.loop == dot;
    Kernel kernel{
        "matmul", name, t.shader, {}, {invocations, t.tile, t.tile, t.bk, t.loop == unrolled ? 4u : 1u},
        of_gpus};
    kernel.requirements.invocations = invocations;
    kernel.requirements.shared_memory = 2 * (in_pairs ? t.bk / 2 : t.bk) * (t.tile / 4 + 1) * 16;
    kernel.requirements.registers = t.registers;
    kernel.requirements.fp16_arithmetic = in_pairs;
    kernel.requirements.mixed_dot_product = t.loop == dot;
    variants.kernels.push_back(std::move(kernel));
    variants.tiles.push_back({.algorithm = Algorithm::tiled,
                              .rows = t.tile,
                              .columns = t.tile,
                              .invocations = invocations,
                              .loop = t.loop});
}

#ifdef VKBERT_COOPERATIVE_MATRIX
/// How shaders/matmul_matrix.comp cuts C: tile x tile a workgroup, 2 x columns matrices a subgroup, as its
/// shader is built for.
struct MatrixTiles {
    const Shader* shader;  // nullptr: this build's glslc cannot make it
    uint32_t columns, subgroup_size, tile, bk;
    bool per_element = false;
};

void add_matrix(Variants& variants, std::string_view name, const MatrixShape& shape, const MatrixTiles& t) {
    if (t.shader == nullptr) return;
    const uint32_t subgroups = t.tile / (2 * shape.m) * (t.tile / (t.columns * shape.n)),
                   invocations = subgroups * t.subgroup_size;
    Kernel kernel{
        "matmul", name, t.shader, {}, {invocations, t.tile, t.tile, t.bk, shape.m, shape.n, shape.k},
        of_gpus};
    const uint32_t along_k = t.tile * (t.bk / 4 + 2), across = t.bk * (t.tile / 4 + 2);
    kernel.requirements.invocations = invocations;
    kernel.requirements.shared_memory =
        std::max(2 * std::max(along_k, across) * 8, subgroups * shape.m * shape.n * 4);
    kernel.requirements.min_subgroup_size = 4;
    kernel.requirements.matrix = shape;
    kernel.requirements.matrix_per_element = t.per_element;
    kernel.required_subgroup_size = t.subgroup_size;
    variants.kernels.push_back(std::move(kernel));
    variants.tiles.push_back({Algorithm::matrix, t.tile, t.tile, t.tile, t.per_element});
}

#ifdef VKBERT_COOPERATIVE_MATRIX2
constexpr const Shader *elements_2x4 = &shaders::matmul_matrix_2x4_nv,
                       *elements_2x2 = &shaders::matmul_matrix_2x2_nv;
#else
constexpr const Shader *elements_2x4 = nullptr, *elements_2x2 = nullptr;
#endif

/// Shapes as drivers have them: NVIDIA and AMD (RDNA 3 on) 16 x 16 x 16, Intel (Xe2) 8 x 16 x 16, llvmpipe 8
/// x 8 x 8. Intel's compiler spills with 32 steps at a time or with 8 matrices a subgroup. Those that end in
/// _nv have the epilogue in registers; llvmpipe's tests it.
void add_matrices(Variants& variants) {
    constexpr MatrixShape matrix_16{16, 16, 16}, matrix_8x16{8, 16, 16}, matrix_8{8, 8, 8};
    const Shader *staged_2x4 = &shaders::matmul_matrix_2x4, *staged_2x2 = &shaders::matmul_matrix_2x2;
    add_matrix(variants, "matrix_16_128_nv", matrix_16, {elements_2x4, 4, 32, 128, 32, true});
    add_matrix(variants, "matrix_16_128", matrix_16, {staged_2x4, 4, 32, 128, 32});
    add_matrix(variants, "matrix_16_64_nv", matrix_16, {elements_2x2, 2, 32, 64, 32, true});
    add_matrix(variants, "matrix_16_64", matrix_16, {staged_2x2, 2, 32, 64, 32});
    add_matrix(variants, "matrix_8x16_128", matrix_8x16, {staged_2x2, 2, 16, 128, 16});
    add_matrix(variants, "matrix_8x16_64", matrix_8x16, {staged_2x2, 2, 16, 64, 16});
    add_matrix(variants, "matrix_8_32_nv", matrix_8, {elements_2x2, 2, 8, 32, 32, true});
    add_matrix(variants, "matrix_8_32", matrix_8, {staged_2x2, 2, 8, 32, 32});
}
#else
void add_matrices(Variants&) {}
#endif

constexpr Requirements pointer_requirements{.invocations = 16,
                                            .min_subgroup_size = 4,
                                            .subgroup_quad = true,
                                            .buffer_device_address = true,
                                            .scalar_pointer_loads = true,
                                            .cpu_only = true};

void add_pointer(Variants& variants, const Shader& shader, std::string_view name, uint32_t rows) {
    const uint32_t columns = pointer_requirements.invocations;
    variants.kernels.push_back({"matmul",
                                name,
                                &shader,
                                pointer_requirements,
                                {columns, rows},
                                {storage, address, address, storage, storage, storage, storage}});
    variants.tiles.push_back({Algorithm::pointer, rows, columns});
}

/// rows x tiles rows of C a workgroup, for which a strip of B comes from memory once; `steps` of K without a
/// branch, for which Mesa's optimiser takes time at every start (16: 16 ms, 64: 90 ms).
void add_packed(Variants& variants, std::string_view name, uint32_t tiles, uint32_t steps) {
    constexpr uint32_t rows = 16;
    variants.kernels.push_back({"matmul",
                                name,
                                &shaders::matmul_packed,
                                pointer_requirements,
                                {PACK_COLUMNS, rows, tiles, steps},
                                {storage, address, address, address, storage, address, address}});
    variants.kernels.back().requirements.invocations = PACK_COLUMNS;
    variants.tiles.push_back({Algorithm::packed, rows * tiles, PACK_COLUMNS, rows});
}

void add_texel(Variants& variants, const Shader& shader, std::string_view name, uint32_t rows,
               BindingKind operands = texel) {
    constexpr uint32_t invocations = 8;
    Kernel kernel{"matmul",      name,
                  &shader,       {},
                  {invocations}, {storage, operands, operands, storage, storage, storage, storage, storage}};
    kernel.requirements = {.invocations = invocations,
                           .min_subgroup_size = 4,
                           .subgroup_quad = true,
                           .texel_buffers = operands == texel,
                           .cpu_only = true};
    variants.kernels.push_back(std::move(kernel));
    variants.tiles.push_back(
        {operands == texel ? Algorithm::texel : Algorithm::buffers, rows, 4 * invocations});
}

/// The last numbers are bounds from what compilers tell (tools/lab/COMPILERS.md): tiled_64 spills with 64
/// registers, where tiled_32, whose inner loop is short enough to be unrolled, does not. 8 x 8 results an
/// invocation are kept in 112 to 120; unrolled, where it brings a block of both operands, in 136.
void add_all_tiled(Variants& variants, bool half) {
    using enum MatmulTile::Loop;
    const Shader* side_8 = half ? &shaders::matmul_tiled_8_fp16 : &shaders::matmul_tiled_8_fp32;
    const Shader* side_4 = half ? &shaders::matmul_tiled_4_fp16 : &shaders::matmul_tiled_4_fp32;
    if (half) {
        add_tiled(variants, "tiled_128_dot", {&shaders::matmul_tiled_dot, 128, 8, 16, 128, dot});
        add_tiled(variants, "tiled_64_8_dot", {&shaders::matmul_tiled_dot, 64, 8, 16, 128, dot});
        add_tiled(variants, "tiled_128_pairs", {&shaders::matmul_tiled_pairs, 128, 8, 16, 128, pairs});
        add_tiled(variants, "tiled_64_8_pairs", {&shaders::matmul_tiled_pairs, 64, 8, 16, 128, pairs});
    }
    add_tiled(variants, "tiled_128", {side_8, 128, 8, 16, 128});
    add_tiled(variants, "tiled_64_8_unrolled", {side_8, 64, 8, 16, 136, unrolled});
    if (half) add_tiled(variants, "tiled_64_8_both", {side_8, 64, 8, 16, 128, both});
    add_tiled(variants, "tiled_64_8", {side_8, 64, 8, 8, 128});
    add_tiled(variants, "tiled_64", {side_4, 64, 4, 32, 72});
    add_tiled(variants, "tiled_32", {side_4, 32, 4, 16, 64});
}

Variants make_variants(Type type) {
    const bool half = type == Type::fp16;
    Variants variants;
    if (half) add_matrices(variants);
    if (!half) {
        add_packed(variants, "cpu_packed", 8, 64);
        add_packed(variants, "cpu_packed_short", 4, 16);
    }
    const auto add_pointers = [&] {
        const Shader& shader = half ? shaders::matmul_pointer_fp16 : shaders::matmul_pointer_fp32;
        add_pointer(variants, shader, "cpu_pointer_16", 16);
        add_pointer(variants, shader, "cpu_pointer_4", 4);
    };
    if (!half) add_pointers();
    add_texel(variants, half ? shaders::matmul_texel_16_fp16 : shaders::matmul_texel_16_fp32, "cpu_texel_16",
              16);
    add_texel(variants, half ? shaders::matmul_texel_4_fp16 : shaders::matmul_texel_4_fp32, "cpu_texel_4", 4);
    // Of fp16, texels are 1.2 to 2 times as fast at MiniLM's shapes (`vkbert bench matmul --precision fp16`,
    // -dx, -dw; Mesa 26.1, 8 lanes). With 16 lanes there are addresses alone.
    if (half) add_pointers();
    if (!half) add_texel(variants, shaders::matmul_buffers, "cpu_buffers", 16, storage);
    add_all_tiled(variants, half);
    add_plain(variants, half ? shaders::matmul_plain_fp16 : shaders::matmul_plain_fp32);
    return variants;
}

const Variants& variants_of(Type type) {
    static const Variants fp32 = make_variants(Type::fp32);
    static const Variants fp16 = make_variants(Type::fp16);
    return type == Type::fp16 ? fp16 : fp32;
}

}  // namespace

std::span<const Kernel> matmul_variants(Type type) {
    return variants_of(type).kernels;
}

const MatmulTile& tile_of(const Kernel& kernel, Type type) {
    const Variants& variants = variants_of(type);
    return variants.tiles[size_t(&kernel - variants.kernels.data())];
}

}  // namespace vkbert::ops
