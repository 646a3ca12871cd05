// Which drivers each workaround concerns, on devices that exist only as data.
#include "runtime/workarounds.hpp"

#include <gtest/gtest.h>

#include <set>

using namespace vkbert;

namespace {

struct Row {
    const char* name;
    uint32_t driver, vendor;
    const char* info;
    uint32_t subgroup, min_subgroup;
    DeviceClass device_class;
    bool rdna3;
    bool scalar_loads, texel_broken, matrix_broken;  // expected
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
    return out << row.name;
}

constexpr DeviceClass cpu = DeviceClass::cpu, discrete = DeviceClass::discrete,
                      integrated = DeviceClass::integrated;

const Row rows[] = {
    {"Debian12Lavapipe", 13, 0x10005, "Mesa 22.3.6 (LLVM 15.0.6)", 8, 8, cpu, false, false, false, false},
    {"Debian12Lavapipe512", 13, 0x10005, "Mesa 22.3.6 (LLVM 15.0.6)", 16, 16, cpu, false, false, false, true},
    {"Debian13Lavapipe", 13, 0x10005, "Mesa 25.0.7-2 (LLVM 19.1.7)", 8, 8, cpu, false, false, false, false},
    {"BackportsLavapipe128", 13, 0x10005, "Mesa 26.1.6 (LLVM 19.1.7)", 4, 4, cpu, false, true, true, true},
    {"BackportsLavapipe256", 13, 0x10005, "Mesa 26.1.6 (LLVM 19.1.7)", 8, 8, cpu, false, true, false, false},
    {"BackportsLavapipe512", 13, 0x10005, "Mesa 26.1.6 (LLVM 19.1.7)", 16, 16, cpu, false, true, true, true},
    {"FutureLavapipe", 13, 0x10005, "Mesa 101.0", 8, 8, cpu, false, true, false, false},
    {"LavapipeOfUnknownVersion", 13, 0x10005, "git-1234abcd", 8, 8, cpu, false, false, false, false},
    {"LavapipeOfAbsurdVersion", 13, 0x10005, "Mesa 99999999999999999999", 8, 8, cpu, false, true, false,
     false},
    {"SwiftShader", 10, 0x1AE0, "", 4, 4, cpu, false, false, false, false},
    {"AmdWindowsRdna2", 1, 0x1002, "24.10.1", 64, 32, discrete, false, false, false, true},
    {"AmdWindowsRdna3", 1, 0x1002, "24.10.1", 64, 32, discrete, true, false, false, false},
    {"RadvVega", 3, 0x1002, "Mesa 26.1.6", 64, 64, discrete, false, false, false, true},
    {"RadvRdna3", 3, 0x1002, "Mesa 26.1.6", 64, 32, discrete, true, false, false, false},
    {"NvidiaProprietary", 4, 0x10DE, "570.00", 32, 32, discrete, true, false, false, false},
    {"Nvk", 24, 0x10DE, "Mesa 26.1.6", 32, 32, discrete, true, false, false, false},
    {"IntelDg2Mesa", 6, 0x8086, "Mesa 25.0.7", 32, 8, discrete, true, false, false, true},
    {"IntelTigerLakeMesa", 6, 0x8086, "Mesa 25.0.7", 32, 8, integrated, true, false, false, true},
    {"IntelDg2Windows", 5, 0x8086, "101.6", 32, 8, discrete, true, false, false, true},
    {"IntelMeteorLakeWindows", 5, 0x8086, "101.6", 32, 8, integrated, true, false, false, false},
    {"IntelBattlemageMesa", 6, 0x8086, "Mesa 25.0.7", 32, 16, discrete, true, false, false, false},
    {"AdrenoProprietary", 8, 0x5143, "512.0", 64, 64, integrated, true, false, false, true},
    {"AdrenoTurnip", 18, 0x5143, "Mesa 26.1.6", 64, 64, integrated, true, false, false, true},
    {"Honeykrisp", 26, 0x10005, "Mesa 26.1.6", 32, 32, integrated, false, false, false, true},
    {"MoltenVkApple", 14, 0x106B, "1.3.0", 32, 32, integrated, false, false, false, true},
    {"MaliProprietary", 9, 0x13B5, "v1.r44", 16, 16, integrated, true, false, false, false},
    {"MaliPanVk", 20, 0x13B5, "Mesa 25.0.7", 16, 16, integrated, true, false, false, false},
};

Capabilities device(const Row& row) {
    Capabilities c;
    c.driver_id = row.driver;
    c.vendor_id = row.vendor;
    c.driver_info = row.info;
    c.subgroup_size = row.subgroup;
    c.min_subgroup_size = row.min_subgroup;
    c.device_class = row.device_class;
    c.mixed_sign_dot_product = row.rdna3;
    c.full_subgroups = c.subgroup_arithmetic = c.subgroup_shuffle = c.subgroup_basic = true;
    c.storage_16bit = c.fp16_arithmetic = true;
    return c;
}

class Drivers : public testing::TestWithParam<Row> {};

}  // namespace

TEST_P(Drivers, FactsAreAsExpected) {
    Capabilities c = device(GetParam());
    for (int times = 0; times < 2; ++times) {
        apply_workarounds(c);
        EXPECT_EQ(c.scalar_pointer_loads, GetParam().scalar_loads);
        EXPECT_EQ(c.fast_buffer_loads, GetParam().scalar_loads);
        EXPECT_EQ(c.texel_kernels_broken, GetParam().texel_broken);
        EXPECT_EQ(c.cooperative_matrix_broken, GetParam().matrix_broken);
        EXPECT_EQ(c.folds_constants, GetParam().driver != 10);
        EXPECT_EQ(c.full_subgroups, GetParam().driver != 18);
        EXPECT_EQ(c.registers, GetParam().vendor == 0x13B5 ? 64u : 0u);
        EXPECT_EQ(c.loops_take_turns, GetParam().vendor == 0x10DE);
        EXPECT_TRUE(c.subgroup_arithmetic && c.subgroup_shuffle && c.fp16_arithmetic);
    }
}

INSTANTIATE_TEST_SUITE_P(Table, Drivers, testing::ValuesIn(rows),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(Workarounds, MoltenVkOnAmdHasNoSubgroupArithmetic) {
    Row row = rows[0];
    row.driver = 14;
    row.vendor = 0x1002;
    Capabilities c = device(row);
    apply_workarounds(c);
    EXPECT_FALSE(c.subgroup_arithmetic);
    EXPECT_FALSE(c.subgroup_shuffle);
    EXPECT_TRUE(c.subgroup_basic);
}

TEST(Workarounds, OldAdrenoHasNoHalfArithmetic) {
    Row row = rows[0];
    row.driver = 8;
    Capabilities c = device(row);
    c.storage_16bit = false;
    apply_workarounds(c);
    EXPECT_FALSE(c.fp16_arithmetic);
}

TEST(Workarounds, EachHasANameAReasonAndADriver) {
    std::set<std::string_view> names;
    std::set<std::string_view> met;
    std::vector<Row> all(std::begin(rows), std::end(rows));
    all.push_back({"MoltenVkAmd", 14, 0x1002, "", 64, 64, discrete, false, false, false, true});
    for (const Workaround& w : workarounds()) {
        EXPECT_TRUE(names.insert(w.name).second) << w.name;
        EXPECT_GT(w.reason.size(), 40u) << w.name;
        for (const Row& row : all) {
            Capabilities c = device(row);
            if (row.driver == 8) c.storage_16bit = false;
            if (w.concerns(c)) met.insert(w.name);
        }
    }
    EXPECT_EQ(met, names);
}
