#include <gtest/gtest.h>

#include <cmath>

#include "runtime/error.hpp"
#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_backward.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

constexpr ops::Activation activations[] = {
    ops::Activation::none, ops::Activation::gelu, ops::Activation::gelu_tanh, ops::Activation::relu,
    ops::Activation::tanh, ops::Activation::silu, ops::Activation::sigmoid};

struct Case {
    uint32_t rows, columns;
    ops::Activation activation;
    Type type = Type::fp32;
    double magnitude = 4;
    bool in_place = false;
    uint32_t capacity = 0, extra_pitch = 0;
};

std::string describe(const Case& c) {
    return fmt::format("({},{}) activation {} {} magnitude {}{} capacity {} pitch +{}", c.rows, c.columns,
                       int(c.activation), name_of(c.type), c.magnitude, c.in_place ? " in place" : "",
                       c.capacity, c.extra_pitch);
}

TensorLayout layout_of(const Case& c, OpRun& run) {
    return {c.columns + c.extra_pitch, c.capacity != 0 ? run.rows(c.capacity, c.rows) : Extent(c.rows)};
}

void backward(const Case& c) {
    SCOPED_TRACE(describe(c));
    const Matrix x = random_matrix(c.rows, c.columns, 1, c.type, c.magnitude);
    const Matrix d_y = random_matrix(c.rows, c.columns, 2, c.type);
    Matrix expected = d_y;
    for (size_t i = 0; i < expected.values.size(); i++)
        expected.values[i] *= reference::activation_slope(c.activation, x.values[i]);
    for_each_variant("activation_backward", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const TensorLayout layout = layout_of(c, run);
        const Tensor input = run.input(x, c.type, layout);
        const Tensor given = c.in_place ? run.in_out(d_y, c.type, layout) : run.input(d_y, c.type, layout);
        const Tensor output = c.in_place ? given : run.output(layout.rows, c.columns, c.type, layout.pitch);
        ops::activation_backward(run.plan(), "test", output, given, input, c.activation);
        run.execute();
        // The slopes are good to 1e-6, which is GELU's polynomial and exponentials of rounded arguments.
        expect_near(run.result(output), expected, [&](uint32_t i, uint32_t j) {
            return 1e-6 * std::fabs(d_y(i, j)) + roundoff(c.type) * std::fabs(expected(i, j)) + 0x1p-25;
        });
    });
}

TEST(ActivationBackward, SlopesOfTheReferenceAreFiniteDifferences) {
    constexpr double step = 1e-5;
    for (const ops::Activation activation : activations)
        for (const double x : {-30.0, -6.0, -2.5, -1.0, -0.3, -1e-3, 1e-3, 0.2, 0.9, 2.0, 5.0, 30.0}) {
            const double difference =
                (reference::activation(activation, x + step) - reference::activation(activation, x - step)) /
                (2 * step);
            EXPECT_NEAR(reference::activation_slope(activation, x), difference, 1e-8)
                << int(activation) << " at " << x;
        }
    EXPECT_EQ(reference::activation_slope(ops::Activation::relu, 0), 0);
}

TEST(ActivationBackward, AllActivations) {
    for (const ops::Activation activation : activations)
        for (const Type type : {Type::fp32, Type::fp16}) {
            backward({7, 516, activation, type});
            backward({3, 12, activation, type, 1000});
            backward({3, 12, activation, type, 1e-4});
        }
}

TEST(ActivationBackward, InPlaceRunTimeRowsAndPitch) {
    for (const Type type : {Type::fp32, Type::fp16})
        for (const uint32_t rows : {0u, 1u, 5u, 9u}) {
            const Case c{rows, 60, ops::Activation::gelu, type, 3, rows % 2 == 1, 9, 8};
            backward(c);
        }
}

TEST(ActivationBackward, RejectsWrongShapes) {
    OpRun run;
    const Tensor x = run.input(Matrix(3, 8)), half = run.input(Matrix(3, 8), Type::fp16);
    const Tensor wide = run.input(Matrix(3, 12)), odd = run.input(Matrix(3, 7)), y = run.output(3, 8);
    EXPECT_THROW(ops::activation_backward(run.plan(), "test", y, wide, x, ops::Activation::gelu), Error);
    EXPECT_THROW(ops::activation_backward(run.plan(), "test", y, x, half, ops::Activation::gelu), Error);
    EXPECT_THROW(
        ops::activation_backward(run.plan(), "test", run.output(3, 7), odd, odd, ops::Activation::gelu),
        Error);
}

}  // namespace
