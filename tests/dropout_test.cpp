#include <gtest/gtest.h>

#include <cmath>

#include "runtime/training_ops.hpp"
#include "tests/op_test.hpp"
#include "tools/selftest/reference_random.hpp"

using namespace vkbert;
using namespace vkbert::test;

namespace {

struct Case {
    uint32_t rows, columns;
    float probability = 0.1f;
    Type type = Type::fp32;
    bool residual = false;
    uint32_t pitch = 0;
    uint32_t capacity = 0;  // rows are a run-time extent of this capacity
    uint32_t site = 3;
    std::vector<uint32_t> state = {0x12345678, 0x9abcdef0, 41, 0};
};

/// The inputs have no zeros, so that zeros of the output are the mask.
Matrix without_zeros(uint32_t rows, uint32_t columns, Type type) {
    Matrix x = random_matrix(rows, columns, 1, type);
    for (double& value : x.values) value += value < 0 ? -1 : 1;
    return rounded(x, type);
}

void run_case(const Case& c) {
    SCOPED_TRACE(fmt::format("({},{}) {} probability {}{}", c.rows, c.columns, name_of(c.type), c.probability,
                             c.residual ? ", residual" : ""));
    const Matrix x = without_zeros(c.rows, c.columns, c.type);
    const Matrix added = random_matrix(c.rows, c.columns, 2, c.type);
    const reference::DropoutMask mask{
        c.probability, c.site, {c.state[0], c.state[1], c.state[2], c.state[3]}};
    const Matrix dropped = reference::dropout(x, mask);
    const Matrix expected = c.residual ? reference::add(dropped, added) : dropped;
    for_each_variant("dropout", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Extent rows = c.capacity != 0 ? run.rows(c.capacity, c.rows) : Extent(c.rows);
        const Tensor input = run.input(x, c.type, {.pitch = c.pitch, .rows = rows});
        const Tensor output = run.output(rows, c.columns, c.type, c.pitch);
        const ops::Dropout options{c.probability, c.site, run.input(c.state, 4)};
        Tensor residual;
        if (c.residual) residual = run.input(added, c.type, {.pitch = c.pitch, .rows = rows});
        ops::dropout(run.plan(), "test", output, input, options, c.residual ? &residual : nullptr);
        run.execute();
        const Matrix result = run.result(output);
        // GLSL's division by q is good to 2.5 units in the last place.
        expect_near(result, expected, [&](uint32_t row, uint32_t column) {
            const double largest = std::fabs(dropped(row, column)) + std::fabs(expected(row, column));
            const double single = c.probability > 0 || c.residual ? 6 * roundoff(Type::fp32) * largest : 0;
            return single + (c.type == Type::fp16 ? roundoff(c.type) * std::fabs(expected(row, column)) : 0);
        });
        if (c.residual) return;
        for (size_t i = 0; i < result.values.size(); i++)
            ASSERT_EQ(result.values[i] == 0, dropped.values[i] == 0) << "element " << i << " of the mask";
    });
}

}  // namespace

TEST(Philox, KnownAnswersOfRandom123) {
    using reference::philox4x32;
    using Words = std::array<uint32_t, 4>;
    const Words zeros{}, ones{~0u, ~0u, ~0u, ~0u}, pi{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    EXPECT_EQ(philox4x32(zeros, {0, 0}, 7), (Words{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}));
    EXPECT_EQ(philox4x32(ones, {~0u, ~0u}, 7), (Words{0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662}));
    EXPECT_EQ(philox4x32(pi, {0xa4093822, 0x299f31d0}, 7),
              (Words{0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a}));
    EXPECT_EQ(philox4x32(zeros, {0, 0}, 10), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    EXPECT_EQ(philox4x32(ones, {~0u, ~0u}, 10), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(philox4x32(pi, {0xa4093822, 0x299f31d0}, 10),
              (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Dropout, MaskHasTheShareAndTheMeanThatItSays) {
    const Matrix ones(512, 512, 1);
    for (const float probability : {0.1f, 0.5f, 0.9f}) {
        const Matrix dropped = reference::dropout(ones, {probability, 1, {7, 8, 9, 0}});
        double sum = 0;
        for (const double value : dropped.values) sum += value;
        // Six standard deviations of the mean of 2^18 independent elements.
        const double deviation =
            std::sqrt(probability / (1 - double(probability)) / double(ones.values.size()));
        EXPECT_NEAR(sum / double(ones.values.size()), 1, 6 * deviation);
    }
}

TEST(Dropout, MaskChangesWithSiteStepAndKey) {
    const Matrix ones(64, 64, 1);
    const reference::DropoutMask mask{0.5f, 1, {7, 8, 9, 0}};
    const Matrix first = reference::dropout(ones, mask);
    for (const reference::DropoutMask& other :
         {reference::DropoutMask{0.5f, 2, {7, 8, 9, 0}}, reference::DropoutMask{0.5f, 1, {6, 8, 9, 0}},
          reference::DropoutMask{0.5f, 1, {7, 7, 9, 0}}, reference::DropoutMask{0.5f, 1, {7, 8, 10, 0}}}) {
        const Matrix second = reference::dropout(ones, other);
        size_t alike = 0;
        for (size_t i = 0; i < first.values.size(); i++) alike += first.values[i] == second.values[i];
        EXPECT_NEAR(double(alike), 2048, 6 * 32);  // of 4096 fair coins, of deviation 32
    }
}

TEST(Dropout, EqualsTheReferenceBitForBit) {
    for (const uint32_t columns : {4u, 12u, 16u, 20u, 64u, 252u, 768u, 3076u})
        run_case({.rows = 7, .columns = columns});
    for (const float probability : {0.01f, 0.5f, 0.75f, 0.999f})
        run_case({.rows = 33, .columns = 128, .probability = probability});
    run_case({.rows = 200, .columns = 36, .site = 0xffffffff, .state = {~0u, ~0u, ~0u, ~0u}});
}

TEST(Dropout, HalfPrecision) {
    for (const uint32_t columns : {4u, 20u, 384u})
        run_case({.rows = 9, .columns = columns, .probability = 0.3f, .type = Type::fp16});
    run_case({.rows = 9, .columns = 84, .type = Type::fp16, .residual = true});
}

TEST(Dropout, Residual) {
    run_case({.rows = 5, .columns = 60, .residual = true});
    run_case({.rows = 5, .columns = 60, .probability = 0, .residual = true});
}

TEST(Dropout, ProbabilityZeroIsACopy) {
    run_case({.rows = 5, .columns = 60, .probability = 0});
    run_case({.rows = 5, .columns = 60, .probability = 0, .type = Type::fp16});
}

TEST(Dropout, RunTimeRowsAndPitch) {
    run_case({.rows = 5, .columns = 44, .residual = true, .capacity = 99});
    run_case({.rows = 0, .columns = 44, .capacity = 99});
    run_case({.rows = 70, .columns = 44, .residual = true, .pitch = 52});
    run_case({.rows = 70, .columns = 44, .type = Type::fp16, .pitch = 52, .capacity = 71});
}

TEST(Dropout, InPlace) {
    const Matrix x = without_zeros(9, 100, Type::fp32);
    const std::vector<uint32_t> state{1, 2, 3, 0};
    const Matrix expected = reference::dropout(x, {0.5f, 4, {1, 2, 3, 0}});
    for_each_variant("dropout", [&](const KernelChoices& choices) {
        OpRun run(choices);
        const Tensor tensor = run.in_out(x);
        ops::dropout(run.plan(), "test", tensor, tensor, {0.5f, 4, run.input(state, 4)});
        run.execute();
        expect_near(run.result(tensor), expected, [&](uint32_t row, uint32_t column) {
            return 4 * roundoff(Type::fp32) * std::fabs(expected(row, column));
        });
    });
}

TEST(Dropout, RefusesWhatDoesNotFit) {
    Plan plan(device().capabilities());
    const Tensor x = plan.persistent("x", 3, 64), narrow = plan.persistent("narrow", 3, 60),
                 state = plan.persistent("state", 1, 4, Type::uint32);
    EXPECT_THROW(ops::dropout(plan, "test", narrow, x, {0.1f, 0, state}), Error);
    EXPECT_THROW(ops::dropout(plan, "test", x, x, {0.1f, 0, state}, &narrow), Error);
    EXPECT_THROW(ops::dropout(plan, "test", x, x, {0.1f, 0, x}), Error);
    EXPECT_THROW(ops::dropout(plan, "test", x, x, {1.0f, 0, state}), Error);
    EXPECT_THROW(ops::dropout(plan, "test", x, x, {-0.1f, 0, state}), Error);
    EXPECT_THROW(ops::dropout(plan, "test", x, x, {NAN, 0, state}), Error);
}
