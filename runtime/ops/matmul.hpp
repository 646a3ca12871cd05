// The choice of a matmul variant, as a pure function that tests and tools can ask without a device.
#pragma once

#include "runtime/ops.hpp"
#include "runtime/ops/tables.hpp"
#include "runtime/tuning.hpp"

namespace vkbert::ops {

/// What the choice depends on. C(M,N), inner dimension K; run-time extents count at capacity.
struct MatmulProblem {
    uint32_t m = 0, n = 0, k = 0;
    Type type = Type::fp32;         // of A and B
    Type output_type = Type::fp32;  // of C
    Orientation orientation = Orientation::nt;
    uint32_t a_pitch = 0, b_pitch = 0;  // elements
    bool residual_in_c = false;         // the residual is C itself
    bool activates = false;             // before the residual is added
    bool b_in_strips = false;
};

/// What a measured choice for the problem goes by. The rows of dW's operands are tokens, as those of Y and
/// dX.
constexpr TunedShape tuned_shape(const MatmulProblem& p) {
    if (p.b_in_strips) return {"strips", p.n, p.k, p.m};
    switch (p.orientation) {
        case Orientation::nt:
            return {"nt", p.n, p.k, p.m};
        case Orientation::nn:
            return {"nn", p.n, p.k, p.m};
        case Orientation::tn:
            break;
    }
    return {"tn", p.n, p.m, p.k};
}

/// The variant that `choices` forces where that one can do the problem: some are for one type, or for many
/// rows or steps, and a pass has matmuls of all kinds. Else the one that `tuning` knows to be the fastest,
/// where it can do it, and else the best by the built-in table. Throws unsupported when a forced variant
/// needs what the device lacks, invalid_argument when there is none of that name.
const Kernel& choose_matmul(const Capabilities& capabilities, const KernelChoices& choices,
                            const MatmulProblem& problem, const Tuning& tuning = {});

/// True when the variant can do the problem on a device that satisfies its requirements.
bool supports(const Kernel& kernel, const Capabilities& capabilities, const MatmulProblem& problem);

/// Strips (runtime/ops.hpp) of an operand of a product, fp32, its pitch a multiple of 4: (N,K) when it lies
/// along K, else (K,N), where N are columns of C, or rows of C for A. For drivers with
/// Capabilities::scalar_pointer_loads.
void matmul_pack(Plan& plan, const std::string& label, const Tensor& strips, const Tensor& operand,
                 bool along_k);

}  // namespace vkbert::ops
