#include "runtime/ops/common.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/ops/tables.hpp"
#include "shaders/glsl_types.h"
namespace vkbert {
#include "shaders/matmul_pack.h"
}

VKBERT_DECLARE_SHADER(matmul_pack)

namespace vkbert::ops {

std::span<const Kernel> matmul_pack_kernels() {
    using enum BindingKind;
    static const std::vector<Kernel> kernels = [] {
        std::vector<Kernel> wide =
            wide_kernels("matmul_pack", shaders::matmul_pack, {storage, address, address});
        for (Kernel& kernel : wide) kernel.requirements.whole_vectors = false;
        return wide;
    }();
    return kernels;
}

static_assert(Strips::width == PACK_COLUMNS);

Strips strips_of(uint32_t n, uint32_t k) {
    return {2 * ((n + 2 * PACK_COLUMNS - 1) / (2 * PACK_COLUMNS)),
            (k + PACK_STEPS - 1) / PACK_STEPS * PACK_STEPS * PACK_COLUMNS};
}

void fill_strip(std::span<const float> rows, std::span<float> strip) {
    const size_t k = rows.size() / Strips::width;
    for (size_t step = 0; step < k; ++step)
        for (size_t row = 0; row < Strips::width; ++row)
            strip[step * Strips::width + row] = rows[row * k + step];
}

void matmul_pack(Plan& plan, const std::string& label, const Tensor& strips, const Tensor& operand,
                 bool along_k) {
    const Extent n = along_k ? operand.rows : Extent(operand.columns),
                 k = along_k ? Extent(operand.columns) : operand.rows;
    const Strips shape = strips_of(n.capacity, k.capacity);
    check(operand.type == Type::fp32 && operand.pitch % 4 == 0, label,
          "matmul_pack: the operand is fp32, its pitch a multiple of 4");
    check(strips.type == Type::fp32 && strips.rows == Extent(shape.rows) && strips.columns == shape.columns &&
              strips.pitch == strips.columns,
          label, "matmul_pack: strips are as strips_of() says, fp32");
    Dispatch dispatch;
    dispatch.kernel = &choose_kernel(matmul_pack_kernels(), plan.capabilities(), plan.choices());
    dispatch.label = label;
    dispatch.constants = {uint32_t(along_k)};
    dispatch.bindings = {{plan.counts()}, {operand}, {strips, Access::write}};
    dispatch.set_push(MatmulPackPush{k.capacity, k.symbol, n.capacity, operand.pitch, strips.pitch});
    dispatch.groups = {Groups{k, PACK_STEPS}, Groups{n, 2 * PACK_COLUMNS}, Groups{}};
    dispatch.work = {.extent = operand.rows, .bytes_per_row = 2.0 * operand.columns * sizeof(float)};
    plan.append(std::move(dispatch));
}

}  // namespace vkbert::ops
