// What the tests of matmul share: one call with its reference, through the chosen variant or a forced one.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "runtime/ops/matmul.hpp"
#include "tests/op_test.hpp"

namespace vkbert::test::matmul_cases {

using ops::Activation;
using ops::Orientation;

struct Case {
    uint32_t m, n, k;
    Orientation orientation = Orientation::nt;
    Type type = Type::fp32, output_type = Type::fp32;
    bool bias = false, residual = false, in_place = false;
    Activation activation = Activation::none;
    float scale = 1;
    uint32_t extra_pitch = 0;            // elements beyond the columns, rounded up to 4, of every matrix
    std::optional<uint32_t> run_time{};  // rows of this run (of M, or K for tn), m or k being the capacity
    bool kept = false, slope = false;    // slope: at what is the residual else
    float dropout = 0;                   // probability
    bool a_sums = false;
    bool strips = false;  // nt: B comes in strips
};

inline const std::vector<uint32_t> dropout_state{0x12345678, 0x9abcdef0, 41, 0};

std::string describe(const Case& c);
/// Elements from one row to the next of every matrix with so many columns.
uint32_t pitch_of(const Case& c, uint32_t columns);

/// Inputs, expected output and, per element, how far from it fp32 arithmetic may end.
struct Expected {
    Matrix a, b, bias, residual, output, tolerance;
    Matrix before, before_tolerance;  // the activation
    Matrix dropped;                   // what C's elements are multiplied by before the residual is added
    Matrix a_sums, a_sums_tolerance, a_sums_before;
};
Expected expect(const Case& c);

struct Results {
    Matrix output, kept, a_sums;  // the latter two only where the case has them
};

/// What the device makes of the case, which the forced variant can do, if there is one.
Results run_case(const Case& c, const Expected& e, const KernelChoices& choices);

/// Runs the case and compares with the reference; nothing where the forced variant cannot do it.
void check(const Case& c, const KernelChoices& choices);
/// Every case through the chosen variant, and through every variant that the device can run.
void check_all(const std::vector<Case>& cases);
/// For what all variants share: one variant a shader, since each compiles anew for every epilogue.
void check_one_a_shader(const std::vector<Case>& cases);
/// The same cases in every orientation and every combination of types.
std::vector<Case> all_kinds(const std::vector<Case>& cases);

}  // namespace vkbert::test::matmul_cases
