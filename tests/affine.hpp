// A tiny kernel for tests of the runtime: output(R,C) = scale * input(R,C) + shift (tests/affine.comp).
#pragma once

#include <string>
#include <utility>

#include "runtime/plan.hpp"

VKBERT_DECLARE_SHADER(test_affine_storage)
VKBERT_DECLARE_SHADER(test_affine_texel)
VKBERT_DECLARE_SHADER(test_affine_address)

namespace vkbert::test {

constexpr uint32_t affine_columns = 64;

inline Kernel affine_kernel(const Shader& shader, BindingKind input) {
    Kernel kernel;
    kernel.op = "affine";
    kernel.name = "test";
    kernel.shader = &shader;
    kernel.constants = {affine_columns / 4};
    kernel.bindings = {BindingKind::storage, input, BindingKind::storage};
    return kernel;
}

/// Appends output = scale * input + shift; both (R,64) fp32.
inline void append_affine(Plan& plan, const Kernel& kernel, std::string label, const Tensor& output,
                          const Tensor& input, float scale, uint32_t shift) {
    struct Push {
        uint32_t rows, rows_symbol;
        float scale;
    };
    Dispatch d;
    d.kernel = &kernel;
    d.constants = {shift};
    d.bindings = {{plan.counts(), Access::read}, {input, Access::read}, {output, Access::write}};
    d.set_push(Push{output.rows.capacity, output.rows.symbol, scale});
    d.groups[0] = {output.rows, 1, 1};
    d.label = std::move(label);
    d.work = {output.rows, 2.0 * affine_columns, 8.0 * affine_columns, 0, 0};
    plan.append(std::move(d));
}

}  // namespace vkbert::test
