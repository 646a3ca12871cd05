#include "runtime/ops/matmul.hpp"

#include <algorithm>
#include <vector>

#include "runtime/error.hpp"
#include "runtime/ops/common.hpp"
#include "runtime/ops/dropout.hpp"
#include "runtime/ops/matmul_variants.hpp"
#include "runtime/training_ops.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/matmul.h"
#include "shaders/matmul_pack.h"
}  // namespace vkbert

namespace vkbert::ops {
namespace {

/// The dimensions of a call, as extents.
struct Dimensions {
    Extent m, k;
    uint32_t n;
};

bool is_operand(const Tensor& t) {
    return t.type != Type::uint32 && t.pitch % 4 == 0 && t.columns <= t.pitch;
}

/// Of nt and nn.
bool b_fits(const Dimensions& d, const Tensor& b, const MatmulOptions& options) {
    if (options.orientation != Orientation::nt) return b.rows == d.k && b.columns == d.n;
    if (!options.b_in_strips) return b.rows == Extent(d.n) && b.columns == d.k.capacity;
    const Strips strips = strips_of(d.n, d.k.capacity);
    return b.rows == Extent(strips.rows) && b.columns == strips.columns && b.pitch == b.columns;
}

Dimensions check_shapes(const std::string& label, const Tensor& c, const Tensor& a, const Tensor& b,
                        const MatmulOptions& options) {
    check(is_operand(a) && is_operand(b) && is_operand(c), label,
          "matmul: A, B and C are fp32 or fp16 and their pitches multiples of 4");
    check(a.type == b.type, label, "matmul: A and B are of one type");
    check(c.type == Type::fp32 || c.type == a.type, label, "matmul: C is fp32 or of A's type");
    Dimensions d{a.rows, a.columns, c.columns};
    if (options.orientation == Orientation::tn) {
        d = {a.columns, a.rows, c.columns};
        check(c.rows == d.m && b.rows == d.k && b.columns == d.n, label, "matmul: C(M,N) = A(K,M)^T B(K,N)");
    } else {
        check(d.k.capacity % 4 == 0 || options.orientation == Orientation::nn, label,
              "matmul: K is a multiple of 4");
        check(c.rows == d.m && b_fits(d, b, options), label,
              "matmul: C(M,N) = A(M,K) B(N,K)^T, or A(M,K) B(K,N)");
    }
    if (const Tensor* bias = options.bias)
        check(bias->type == Type::fp32 && bias->rows == Extent(1u) && bias->columns == d.n, label,
              "matmul: bias is (1,N) fp32");
    const auto like_c = [&](const Tensor& t) {
        return t.type == c.type && t.rows == c.rows && t.columns == d.n && is_operand(t);
    };
    if (const Tensor* residual = options.residual)
        check(like_c(*residual), label, "matmul: residual is (M,N), of C's type, its pitch a multiple of 4");
    if (const Tensor* kept = options.kept)
        check(like_c(*kept) && kept->pitch == c.pitch && kept->storage != c.storage, label,
              "matmul: what is kept is (M,N), of C's type and pitch, elsewhere");
    if (const Tensor* at = options.slope_at)
        check(
            like_c(*at) && at->storage != c.storage && options.residual == nullptr && options.bias == nullptr,
            label, "matmul: slopes are at (M,N), of C's type, elsewhere, without bias and residual");
    check(!options.b_in_strips || (options.orientation == Orientation::nt && b.type == Type::fp32), label,
          "matmul: strips are of fp32 weights, for nt");
    check(options.dropout == nullptr || (options.slope_at == nullptr && d.n % 4 == 0), label,
          "matmul: dropout is of a multiple of 4 columns, without slopes");
    if (const Tensor* sums = options.a_sums)
        check(options.orientation == Orientation::tn && options.kept == nullptr && sums->type == Type::fp32 &&
                  sums->rows == Extent(1u) && sums->columns == d.m.capacity,
              label, "matmul: sums of A's columns are (1,M) fp32, of tn, with nothing kept");
    return d;
}

bool same(const Tensor& x, const Tensor& y) {
    return x.storage == y.storage && x.offset == y.offset && x.pitch == y.pitch;
}

bool residual_is_c(const Tensor& c, const MatmulOptions& options) {
    return options.residual != nullptr && same(*options.residual, c);
}

uint32_t epilogue_bits(const Tensor& c, const MatmulOptions& options) {
    return (residual_is_c(c, options) ? EPILOGUE_IN_PLACE : 0) |
           (options.bias != nullptr ? EPILOGUE_BIAS : 0) |
           (options.residual != nullptr ? EPILOGUE_RESIDUAL : 0) |
           (options.slope_at != nullptr ? EPILOGUE_RESIDUAL | EPILOGUE_SLOPE : 0) |
           (options.kept != nullptr ? EPILOGUE_KEEP : 0) | (c.type == Type::fp16 ? EPILOGUE_FP16_OUTPUT : 0) |
           (c.columns % 4 != 0 ? EPILOGUE_TAIL : 0) | (options.a_sums != nullptr ? EPILOGUE_A_SUMS : 0);
}

/// Whether every row of a tensor starts on 16 bytes, as cooperative matrices want it of memory.
bool rows_aligned(const Tensor& t) {
    return t.offset % 16 == 0 && t.pitch * size_of(t.type) % 16 == 0;
}

/// The bit of kernels that store C as matrices, where all that they touch as such allows it.
uint32_t aligned_bit(const Kernel& kernel, const Tensor& c, const MatmulOptions& options) {
    const auto allows = [](const Tensor* t) { return t == nullptr || rows_aligned(*t); };
    return kernel.requirements.matrix_per_element && allows(&c) && allows(options.residual) &&
                   allows(options.kept) && allows(options.slope_at)
               ? EPILOGUE_ALIGNED
               : 0;
}

Work work_of(const Dimensions& d, const Tensor& c, const Tensor& a, const MatmulOptions& options) {
    const int others =
        (options.residual != nullptr) + (options.kept != nullptr) + (options.slope_at != nullptr);
    const double type_size = size_of(a.type), c_size = size_of(c.type) * (1 + others);
    Work work;
    if (options.orientation == Orientation::tn) {
        work = {.extent = d.k,
                .flops_per_row = 2.0 * d.m.capacity * d.n,
                .bytes_per_row = (d.m.capacity + d.n) * type_size};
        work.bytes = double(d.m.capacity) * d.n * c_size;
    } else {
        work = {.extent = d.m, .flops_per_row = 2.0 * d.k.capacity * d.n};
        work.bytes_per_row = d.k.capacity * type_size + d.n * c_size;
        work.bytes = double(d.n) * d.k.capacity * type_size;
    }
    return work;
}

MatmulProblem problem_of(const Dimensions& d, const Tensor& c, const Tensor& a, const Tensor& b,
                         const MatmulOptions& options) {
    return {.m = d.m.capacity,
            .n = d.n,
            .k = d.k.capacity,
            .type = a.type,
            .output_type = c.type,
            .orientation = options.orientation,
            .a_pitch = a.pitch,
            .b_pitch = b.pitch,
            .residual_in_c = residual_is_c(c, options),
            .activates = options.activation != Activation::none,
            .b_in_strips = options.b_in_strips};
}

/// Rows of B(N,K), which are columns of C, that one dispatch may take: a vocabulary of 120,000 is larger than
/// a binding may be, some CPU drivers have short texel buffers, and not all of it need be packed at a time.
/// At least N for all.
uint32_t rows_of_b_at_a_time(const Plan& plan, const Tensor& c, const Tensor& a, const Tensor& b,
                             const MatmulOptions& options) {
    const Capabilities& capabilities = plan.capabilities();
    if (options.orientation != Orientation::nt || options.b_in_strips || b.pitch < 4) return c.columns;
    // Blocks of B, C, bias and residual all start on a binding's alignment, which is 256 bytes at most.
    const uint64_t step = 256 / std::min<uint64_t>(size_of(c.type), size_of(Type::fp32));
    const auto whole_steps = [&](uint64_t rows) {
        const uint64_t some = rows >= c.columns ? c.columns : rows / step * step;
        return some == 0 ? c.columns : uint32_t(some);  // where not even a step fits, Plan::append says so
    };
    const uint32_t most =
        whole_steps(capabilities.max_storage_buffer_range / (uint64_t(b.pitch) * size_of(b.type)));
    MatmulProblem problem = problem_of({a.rows, a.columns, c.columns}, c, a, b, options);
    const auto chosen_for = [&](uint64_t rows) {
        problem.n = whole_steps(std::min<uint64_t>(most, rows));
        return tile_of(choose_matmul(capabilities, plan.choices(), problem, plan.tuning()), a.type).algorithm;
    };
    if (chosen_for(most_packed / (uint64_t(b.pitch) * size_of(b.type))) == Algorithm::packed)
        return problem.n;
    return chosen_for(capabilities.max_texel_elements / (b.pitch / 4)) == Algorithm::texel ? problem.n : most;
}

constexpr uint32_t steps_of_all_tiles = 32;  // a multiple of those that each tile takes together

/// Whether nothing need be compiled for steps left over: less for a CPU driver to compile, and in the tiles
/// of GPUs a shorter loop, which else looks at each element whether its step is there.
bool has_even_steps(const MatmulTile& shape, Orientation orientation, Extent k) {
    if (!k.constant() || k.capacity == 0) return false;
    switch (shape.algorithm) {
        case Algorithm::packed:
            return k.capacity % PACK_STEPS == 0;
        case Algorithm::pointer:
            return k.capacity % 16 == 0;
        case Algorithm::matrix:  // of tn, parts of K may have no steps at all
            return orientation != Orientation::tn && k.capacity % steps_of_all_tiles == 0;
        case Algorithm::tiled:
            return k.capacity % steps_of_all_tiles == 0;
        default:
            return false;
    }
}

/// What of the epilogue a call says by MatmulPush::epilogue, of a pipeline that has it all: else a forward
/// pass needs three pipelines, each of which takes Mesa 22.3 65 ms to compile, more than a
/// short batch takes to compute (`vkbert embed` of a sentence, all caches empty). Longer ones would take 1 to
/// 5% longer: there both sides of a branch are executed.
bool decides_by_call(const MatmulTile& shape, const Dimensions& d, const MatmulOptions& o, uint32_t bits) {
    const bool forward =
        (bits & ~(EPILOGUE_RESIDUAL | EPILOGUE_IN_PLACE | EPILOGUE_FP16_OUTPUT)) == EPILOGUE_BIAS &&
        (o.activation == Activation::none || o.activation == Activation::gelu);
    const bool can = shape.algorithm == Algorithm::texel ||
                     (shape.algorithm == Algorithm::packed && shape.rows <= short_batch);
    return can && d.m.capacity <= short_batch && o.orientation == Orientation::nt && forward &&
           o.dropout == nullptr;
}

/// An operand as matmul_pack() makes it, in a temporary.
Tensor in_strips(Plan& plan, const std::string& label, const Tensor& operand, bool along_k) {
    const uint32_t n = along_k ? operand.rows.capacity : operand.columns,
                   k = along_k ? operand.columns : operand.rows.capacity;
    const Strips shape = strips_of(n, k);
    const Tensor strips = plan.temporary(label + " strips", shape.rows, shape.columns);
    matmul_pack(plan, label, strips, operand, along_k);
    return strips;
}

/// What cpu_packed may read as every row of a residual that a call has not: strips of B are longer.
Tensor readable_row(const Tensor& strips, const Tensor& c) {
    return Plan::tensor_at(strips.storage, strips.offset, 1u, c.columns, Type::fp32);
}

/// With parts, C is (parts * M,N), and the sums of A's columns are (parts,M).
void append_dispatch(Plan& plan, const std::string& label, const Kernel& kernel, const Dimensions& d,
                     const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options,
                     uint32_t parts = 1) {
    constexpr uint32_t steps = steps_of_all_tiles;
    const uint32_t k_part = parts == 1 ? d.k.capacity : (d.k.capacity / parts + steps) / steps * steps;
    const uint32_t kept = options.dropout != nullptr ? dropout_kept(*options.dropout, label) : 256;
    const Binding beside =
        options.a_sums != nullptr
            ? Binding{*options.a_sums, residual_is_c(c, options) ? Access::read_write : Access::write}
            : Binding{options.kept != nullptr ? *options.kept : c, Access::write};
    const MatmulTile& shape = tile_of(kernel, a.type);
    Tensor left = a, right = b;
    if (shape.algorithm == Algorithm::packed) {
        left = in_strips(plan, label + " pack A", a, options.orientation != Orientation::tn);
        if (!options.b_in_strips)
            right = in_strips(plan, label + " pack B", b, options.orientation == Orientation::nt);
    }
    const bool no_residual = options.residual == nullptr && options.slope_at == nullptr;
    const Tensor residual = options.residual != nullptr            ? *options.residual
                            : options.slope_at != nullptr          ? *options.slope_at
                            : shape.algorithm == Algorithm::packed ? readable_row(right, c)
                                                                   : plan.counts();
    Dispatch dispatch;
    dispatch.kernel = &kernel;
    dispatch.label = label;
    dispatch.constants = {uint32_t(options.orientation), uint32_t(options.activation),
                          epilogue_bits(c, options) | aligned_bit(kernel, c, options), kept};
    const uint32_t call = (dispatch.constants[2] & EPILOGUE_RESIDUAL) |
                          (options.activation != Activation::none ? EPILOGUE_ACTIVATION : 0);
    if (decides_by_call(shape, d, options, dispatch.constants[2])) {
        dispatch.constants[1] = uint32_t(Activation::gelu);
        dispatch.constants[2] = (dispatch.constants[2] & EPILOGUE_FP16_OUTPUT) | EPILOGUE_BIAS |
                                EPILOGUE_RESIDUAL | EPILOGUE_BY_CALL;
    }
    if (shape.algorithm == Algorithm::packed) {
        dispatch.constants[0] = uint32_t(Orientation::nt);  // of strips one pipeline multiplies all
        if (d.n % shape.columns == 0) dispatch.constants[2] |= EPILOGUE_EVEN_COLUMNS;
    }
    if (has_even_steps(shape, options.orientation, d.k)) dispatch.constants[2] |= EPILOGUE_EVEN_STEPS;
    dispatch.bindings = {{plan.counts()},
                         {left},
                         {right},
                         {c, Access::write},
                         {options.bias != nullptr ? *options.bias : plan.counts()},
                         {residual},
                         beside};
    if (shape.drops()) dispatch.bindings.push_back({kept < 256 ? options.dropout->state : plan.counts()});
    dispatch.set_push(MatmulPush{d.m.capacity, d.m.symbol, d.k.capacity, d.k.symbol, d.n, left.pitch / 4,
                                 right.pitch / 4, c.pitch / 4, no_residual ? 0 : residual.pitch / 4,
                                 options.scale, k_part,
                                 options.dropout != nullptr ? options.dropout->site : 0, call});
    dispatch.groups = {Groups{d.n, shape.columns}, Groups{d.m, shape.rows}, Groups{parts}};
    dispatch.work = work_of(d, c, a, options);
    plan.append(std::move(dispatch));
}

/// C += or = A^T B in parts of K, which are then added up in their order.
void append_in_parts(Plan& plan, const std::string& label, const Kernel& kernel, const Dimensions& d,
                     const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options,
                     uint32_t parts) {
    const uint32_t elements = d.m.capacity * d.n;
    const Tensor sums = plan.temporary(label + " parts", parts, elements, Type::fp32);
    MatmulOptions each = options;
    each.residual = nullptr;
    Tensor a_sums;  // (parts,M)
    if (options.a_sums != nullptr) {
        a_sums = plan.temporary(label + " column sums of parts", parts, (d.m.capacity + 3) / 4 * 4);
        a_sums.columns = d.m.capacity;
        each.a_sums = &a_sums;
    }
    append_dispatch(plan, label, kernel, d,
                    Plan::tensor_at(sums.storage, 0, parts * d.m.capacity, d.n, Type::fp32), a, b, each,
                    parts);
    column_sums(plan, label + " sum of parts", Plan::tensor_at(c.storage, c.offset, 1u, elements, Type::fp32),
                sums, options.residual != nullptr);
    if (options.a_sums != nullptr)
        column_sums(plan, label + " sum of column sums", *options.a_sums, a_sums,
                    options.residual != nullptr);
}

/// Whether C may be made of parts: nothing but a sum is done to it, and its elements lie without gaps.
bool only_adds(const Tensor& c, const MatmulOptions& options) {
    return (options.residual == nullptr || residual_is_c(c, options)) && options.bias == nullptr &&
           options.dropout == nullptr && options.activation == Activation::none && c.type == Type::fp32 &&
           c.pitch == c.columns;
}

void append_one(Plan& plan, const std::string& label, const Tensor& c, const Tensor& a, const Tensor& b,
                const MatmulOptions& options) {
    const Dimensions d = check_shapes(label, c, a, b, options);
    const Kernel& kernel =
        choose_matmul(plan.capabilities(), plan.choices(), problem_of(d, c, a, b, options), plan.tuning());
    const MatmulTile& shape = tile_of(kernel, a.type);
    const uint32_t parts =
        only_adds(c, options) ? parts_of_k(shape, plan.capabilities(), problem_of(d, c, a, b, options)) : 1;
    MatmulOptions fused = options;
    if (!shape.sums_a()) fused.a_sums = nullptr;
    if (parts > 1)
        append_in_parts(plan, label, kernel, d, c, a, b, fused, parts);
    else
        append_dispatch(plan, label, kernel, d, c, a, b, fused);
    if (options.a_sums != fused.a_sums)
        column_sums(plan, label + " column sums", *options.a_sums, a, residual_is_c(c, options));
}

/// The dropout as an op of its own: in place, unless C holds what is added after it.
void append_with_dropout_apart(Plan& plan, const std::string& label, const Tensor& c, const Tensor& a,
                               const Tensor& b, const MatmulOptions& options) {
    MatmulOptions before = options;
    before.dropout = nullptr, before.residual = nullptr;
    const Tensor product =
        residual_is_c(c, options) ? plan.temporary(label + " product", c.rows, c.columns, c.type) : c;
    matmul(plan, label, product, a, b, before);
    dropout(plan, label + " dropout", c, product, *options.dropout, options.residual);
}

}  // namespace

void matmul(Plan& plan, const std::string& label, const Tensor& c, const Tensor& a, const Tensor& b,
            const MatmulOptions& options) {
    const uint32_t most = rows_of_b_at_a_time(plan, c, a, b, options);
    if (options.dropout != nullptr) {
        const Dimensions d = check_shapes(label, c, a, b, options);
        const Kernel& kernel = choose_matmul(plan.capabilities(), plan.choices(),
                                             problem_of(d, c, a, b, options), plan.tuning());
        if (most < c.columns || !tile_of(kernel, a.type).drops())
            return append_with_dropout_apart(plan, label, c, a, b, options);
    }
    if (most >= c.columns) return append_one(plan, label, c, a, b, options);
    check(b.rows.capacity == c.columns, label, "matmul: B(N,K) has a row for each column of C");
    for (uint32_t first = 0; first < c.columns; first += most) {
        const uint32_t count = std::min(most, c.columns - first);
        MatmulOptions block = options;
        Tensor bias, residual, kept, slope_at;
        if (options.kept != nullptr) block.kept = &(kept = options.kept->columns_at(first, count));
        if (options.slope_at != nullptr)
            block.slope_at = &(slope_at = options.slope_at->columns_at(first, count));
        if (options.bias != nullptr) block.bias = &(bias = options.bias->columns_at(first, count));
        if (options.residual != nullptr)
            block.residual = &(residual = options.residual->columns_at(first, count));
        append_one(plan, label, c.columns_at(first, count), a, b.rows_at(first, count), block);
    }
}

}  // namespace vkbert::ops
