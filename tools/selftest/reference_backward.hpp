// The backward ops in double precision, beside reference.hpp.
#pragma once

#include "tools/selftest/reference.hpp"

namespace vkbert::test::reference {

/// f'(x); zero for ReLU at zero.
double activation_slope(ops::Activation activation, double x);

}  // namespace vkbert::test::reference
