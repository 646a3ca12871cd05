// Learning rates against the closed forms of their sources.
#include "bert/schedule.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "tests/file_test.hpp"

namespace vkbert {
namespace {

TEST(Schedule, LinearFallsFromTheEndOfWarmUpToZero) {
    const LearningRate rate{2e-5, 10, 110, Schedule::linear};
    for (uint64_t step = 0; step < 10; ++step) EXPECT_DOUBLE_EQ(rate.at(step), 2e-5 * double(step) / 10);
    for (uint64_t step = 10; step <= 110; ++step)
        EXPECT_DOUBLE_EQ(rate.at(step), 2e-5 * (110 - double(step)) / 100);
    EXPECT_EQ(rate.at(0), 0);
    EXPECT_EQ(rate.at(10), 2e-5);
    EXPECT_EQ(rate.at(110), 0);
    EXPECT_EQ(rate.at(1000), 0);
}

TEST(Schedule, BertJumpsDownAtTheEndOfWarmUp) {
    const LearningRate rate{5e-5, 20, 100, Schedule::bert};
    for (uint64_t step = 0; step < 20; ++step) EXPECT_DOUBLE_EQ(rate.at(step), 5e-5 * double(step) / 20);
    for (uint64_t step = 20; step < 100; ++step)
        EXPECT_NEAR(rate.at(step), 5e-5 * (1 - double(step) / 100), 1e-19);
    EXPECT_DOUBLE_EQ(rate.at(19), 4.75e-5);
    EXPECT_DOUBLE_EQ(rate.at(20), 4e-5);
    EXPECT_EQ(rate.at(100), 0);
}

TEST(Schedule, ConstantStaysAtThePeak) {
    const LearningRate rate{1e-3, 4, 10, Schedule::constant};
    EXPECT_DOUBLE_EQ(rate.at(3), 0.75e-3);
    for (const uint64_t step : {4, 5, 9, 10, 500}) EXPECT_EQ(rate.at(step), 1e-3);
}

TEST(Schedule, WithoutWarmUpTheFirstRateIsThePeak) {
    for (const Schedule schedule : {Schedule::linear, Schedule::bert, Schedule::constant})
        EXPECT_EQ((LearningRate{3e-5, 0, 50, schedule}.at(0)), 3e-5);
}

TEST(Schedule, WarmUpLongerThanTheTrainingOnlyRises) {
    const LearningRate rate{1, 20, 10, Schedule::linear};
    EXPECT_DOUBLE_EQ(rate.at(9), 0.45);
    EXPECT_EQ(rate.at(20), 0);
}

TEST(Schedule, WarmUpIsAShareOrANumberOfSteps) {
    EXPECT_EQ(warmup_steps(0.1, 105), 11u);
    EXPECT_EQ(warmup_steps(0.1, 105, Schedule::bert), 10u);
    EXPECT_EQ(warmup_steps(0, 105), 0u);
    EXPECT_EQ(warmup_steps(200, 105), 200u);
    for (const double bad : {-0.1, std::numeric_limits<double>::quiet_NaN(), 1e300})
        test::expect_error(ErrorCode::invalid_argument, "warm-up", [&] { warmup_steps(bad, 10); });
}

}  // namespace
}  // namespace vkbert
