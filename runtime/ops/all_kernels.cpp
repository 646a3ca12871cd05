#include "runtime/ops.hpp"
#include "runtime/ops/tables.hpp"

namespace vkbert::ops {

std::vector<KernelTable> all_kernels() {
    return {
        {"matmul", matmul_kernels(Type::fp32)},
        {"matmul", matmul_kernels(Type::fp16)},
    };
}

}  // namespace vkbert::ops
