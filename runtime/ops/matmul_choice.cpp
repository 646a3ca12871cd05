#include <algorithm>

#include "runtime/error.hpp"
#include "runtime/ops/common.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/ops/matmul_variants.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/matmul_pack.h"
}

namespace vkbert::ops {
namespace {

/// Workgroups that fill a device, and what K must have for each part of it.
constexpr uint32_t workgroups_to_fill(DeviceClass device_class) {
    return device_class == DeviceClass::discrete ? 256 : 64;
}
constexpr uint32_t least_part = 512;

uint64_t tiles_of(const MatmulTile& shape, const MatmulProblem& problem) {
    return uint64_t((problem.m + shape.rows - 1) / shape.rows) *
           ((problem.n + shape.columns - 1) / shape.columns);
}

/// Whether the device has what a tiled variant is peculiar for.
bool suits_loop(MatmulTile::Loop loop, const Capabilities& capabilities) {
    using enum MatmulTile::Loop;
    switch (loop) {
        case pairs:  // for Tuning to choose
            return false;
        case unrolled:
            return capabilities.loops_take_turns;
        case both:
            // Where a workgroup is one subgroup, it brings the blocks of A and then those of B. Twice the
            // shared memory halves Intel's subgroups in flight, and Adreno's registers allow a third fewer.
            return capabilities.subgroup_size >= 64 && capabilities.device_class == DeviceClass::discrete;
        case plain:
        case dot:
            return true;
    }
    return false;
}

/// Whether a variant that can do the problem is also a good choice for it, better ones having been passed
/// over.
bool suits(const MatmulTile& shape, const Capabilities& capabilities, const MatmulProblem& problem) {
    const bool cpu = capabilities.device_class == DeviceClass::cpu;
    switch (shape.algorithm) {
        case Algorithm::matrix:
            // RADV's compiler finds the epilogue in registers better in all it tells only where the other one
            // has incomplete pieces to store; elsewhere measuring (Tuning) may choose it.
            if (shape.per_element && (problem.n % 4 == 0 || problem.m < shape.rows)) return false;
            return !cpu && (shape.rows <= 64 ||
                            tiles_of(shape, problem) * parts_of_k(shape, capabilities, problem) >= 96);
        case Algorithm::tiled: {
            if (cpu) return false;  // barriers cost more than they bring there
            if (!suits_loop(shape.loop, capabilities)) return false;
            if (shape.rows == 32) return true;
            // 64 results an invocation need half of the shared memory's reads, but leave few subgroups: only
            // where tiles enough remain to fill the device.
            const uint64_t tiles = tiles_of(shape, problem) * parts_of_k(shape, capabilities, problem);
            const bool small = capabilities.device_class != DeviceClass::discrete;
            if (shape.rows == 128) return tiles >= 96;
            return tiles >= (shape.invocations == 64 && !small ? 96 : 32);
        }
        case Algorithm::packed:
            // Where B must be packed first, from 32 rows on as fast as `pointer`, at 64 by a third faster,
            // but it takes twice as long to compile: MiniLM's `vkbert embed` of a sentence would start in 0.5
            // s in place of 0.3. So short batches have a variant of their own, for strips alone.
            if (!cpu || problem.k < PACK_STEPS) return false;
            return shape.rows > short_batch ? problem.m > short_batch : problem.b_in_strips;
        case Algorithm::pointer:
            return cpu && (shape.rows <= 4 || problem.m > 4);
        case Algorithm::texel:
            // At 8 rows as fast or faster, with half as much to compile; at 11 a third slower.
            return cpu && (shape.rows <= 4 || problem.m > 8);
        case Algorithm::buffers:
            return cpu && problem.m > 4;
        case Algorithm::plain:
            return true;
    }
    return false;
}

uint64_t a_elements(const MatmulProblem& p) {
    return uint64_t(p.orientation == Orientation::tn ? p.k : p.m) * p.a_pitch;
}

uint64_t b_elements(const MatmulProblem& p) {
    return uint64_t(p.orientation == Orientation::nt ? p.n : p.k) * p.b_pitch;
}

/// Whether what is read past the end of an operand, for rows of C that there are not and in steps taken
/// together, lies within its slack.
bool reads_within_slack(const MatmulTile& shape, const MatmulProblem& p) {
    const uint32_t steps = p.orientation == Orientation::nt ? 0 : 16;
    if (p.k < steps) return false;
    const uint64_t past = shape.rows_at_a_time - 1,
                   rows = p.orientation == Orientation::tn ? past : past * p.a_pitch;
    return rows * size_of(p.type) <= Plan::read_slack;
}

}  // namespace

uint32_t parts_of_k(const MatmulTile& shape, const Capabilities& capabilities, const MatmulProblem& problem) {
    const bool shares_k = shape.algorithm == Algorithm::tiled || shape.algorithm == Algorithm::matrix;
    if (!shares_k || problem.orientation != Orientation::tn) return 1;
    const uint64_t wanted = workgroups_to_fill(capabilities.device_class) / tiles_of(shape, problem);
    const uint64_t bytes = uint64_t(problem.m) * problem.n * sizeof(float);
    return uint32_t(std::max<uint64_t>(
        std::min({wanted, uint64_t(problem.k / least_part), capabilities.max_storage_buffer_range / bytes}),
        1));
}

std::span<const Kernel> matmul_kernels(Type type) {
    return matmul_variants(type);
}

bool supports(const Kernel& kernel, const Capabilities& capabilities, const MatmulProblem& problem) {
    const MatmulTile& shape = tile_of(kernel, problem.type);
    if (problem.b_in_strips && shape.algorithm != Algorithm::packed) return false;
    switch (shape.algorithm) {
        case Algorithm::packed:
            return !(problem.residual_in_c && problem.activates) &&
                   (problem.b_in_strips || b_elements(problem) * sizeof(float) <= most_packed);
        case Algorithm::pointer:
            return reads_within_slack(shape, problem);
        case Algorithm::texel:
            return std::max(a_elements(problem), b_elements(problem)) / 4 <= capabilities.max_texel_elements;
        case Algorithm::matrix:
        case Algorithm::tiled:
        case Algorithm::buffers:
        case Algorithm::plain:
            return true;
    }
    return false;
}

const Kernel& choose_matmul(const Capabilities& capabilities, const KernelChoices& choices,
                            const MatmulProblem& problem, const Tuning& tuning) {
    const std::span<const Kernel> table = matmul_kernels(problem.type);
    const Kernel* const forced = forced_of_type(matmul_kernels, problem.type, capabilities, choices);
    if (forced != nullptr && supports(*forced, capabilities, problem)) return *forced;
    const Kernel* const tuned = tuning.find(table, capabilities, problem.type, tuned_shape(problem));
    if (tuned != nullptr && supports(*tuned, capabilities, problem)) return *tuned;
    for (const Kernel& kernel : table)
        if (satisfies(capabilities, kernel) && keeps_in_registers(capabilities, kernel.requirements) &&
            supports(kernel, capabilities, problem) &&
            suits(tile_of(kernel, problem.type), capabilities, problem))
            return kernel;
    fail(ErrorCode::unsupported, "no matmul kernel for {}", capabilities.device_name);
}

bool reads_strips(const Capabilities& capabilities, Type type, uint32_t n, uint32_t k) {
    if (type != Type::fp32 || k % 4 != 0) return false;
    const MatmulProblem problem{.m = 1, .n = n, .k = k, .b_in_strips = true};
    return std::ranges::any_of(matmul_kernels(type), [&](const Kernel& kernel) {
        return satisfies(capabilities, kernel) && supports(kernel, capabilities, problem) &&
               suits(tile_of(kernel, type), capabilities, problem);
    });
}

}  // namespace vkbert::ops
