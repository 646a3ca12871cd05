// The choice of a matmul variant, as a pure function that tests and tools can ask without a device.
#pragma once

#include "runtime/ops/tables.hpp"

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
};

/// The best variant for the problem, or the one that `choices` forces where that one can do it: some are for
/// one type, or for many rows or steps, and a pass has matmuls of all kinds. Throws unsupported when a forced
/// variant needs what the device lacks, invalid_argument when there is none of that name.
const Kernel& choose_matmul(const Capabilities& capabilities, const KernelChoices& choices,
                            const MatmulProblem& problem);

/// True when the variant can do the problem on a device that satisfies its requirements.
bool supports(const Kernel& kernel, const Capabilities& capabilities, const MatmulProblem& problem);

}  // namespace vkbert::ops
