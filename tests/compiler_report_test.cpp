// What the laboratory reads out of drivers' words.
#include "tools/lab/compiler_report.hpp"

#include <gtest/gtest.h>

using namespace vkbert;
using namespace vkbert::lab;

TEST(ShaderDb, LastLineOfPanVkIsRead) {
    const auto statistics = shader_db_statistics(
        "WARNING: not a conformant driver\n"
        "SHADER-DB: MESA_SHADER_COMPUTE shader: 1 inst, 2.000000 cycles, 1 threads, 0 loops, 0:0 "
        "spills:fills\n"
        "SHADER-DB: MESA_SHADER_COMPUTE shader: 718 inst, 102.500000 cycles, 0.500000 fma, 360 quadwords, "
        "1 threads, 2 loops, 6:44 spills:fills\nand more\n");
    const auto compiled = summarize(statistics);
    ASSERT_EQ(compiled.size(), 1u);
    EXPECT_EQ(compiled[0].instructions, 718);
    EXPECT_EQ(compiled[0].cycles, 102.5);
    EXPECT_EQ(compiled[0].occupancy, 1);
    EXPECT_EQ(compiled[0].spills, 50);
    EXPECT_FALSE(compiled[0].registers.has_value());
}

TEST(ShaderDb, OtherTextTellsNothing) {
    for (const char* text :
         {"", "shader: 718 inst", "SHADER-DB: ", "SHADER-DB: shader: ", "SHADER-DB: shader: 7"})
        EXPECT_TRUE(shader_db_statistics(text).empty()) << text;
}
