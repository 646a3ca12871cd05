#include "runtime/ops/add_partials.hpp"

#include <algorithm>

#include "runtime/ops/common.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/add_partials.h"
}

VKBERT_DECLARE_SHADER(add_partials)

namespace vkbert::ops {

static constexpr uint32_t add_partials_invocations = 64;

uint32_t partial_block_rows(Extent rows) {
    constexpr uint32_t least = 32, most_blocks = 256;
    return std::max(least, (rows.capacity / most_blocks + 4) / 4 * 4);
}

uint32_t partial_blocks(Extent rows) {
    return Groups{rows, partial_block_rows(rows)}.capacity();
}

std::span<const Kernel> add_partials_kernels() {
    using enum BindingKind;
    static const Kernel kernel{.op = "add_partials",
                               .name = "plain",
                               .shader = &shaders::add_partials,
                               .requirements = {.invocations = add_partials_invocations},
                               .constants = {add_partials_invocations},
                               .bindings = {storage, storage, storage}};
    return {&kernel, 1};
}

void add_partials(Plan& plan, const std::string& label, const Tensor& target, const Tensor& partials,
                  Extent rows) {
    check(is_vector(target, partials.columns) && partials.type == Type::fp32, label,
          "add_partials: (1,N) fp32 and partials of N columns");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(add_partials_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.bindings = {{plan.counts()}, {partials}, {target, Access::read_write}};
    const uint32_t block_rows = partial_block_rows(rows);
    dispatch.set_push(
        AddPartialsPush{rows.capacity, rows.symbol, block_rows, partials.columns, partials.pitch});
    dispatch.groups = {Groups{partials.columns, add_partials_invocations}, Groups{}, Groups{}};
    const double row_part = double(partials.columns) / block_rows;
    dispatch.work = {.extent = rows, .flops_per_row = row_part, .bytes_per_row = 4 * row_part};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
