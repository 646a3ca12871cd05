// Choosers of kernel variants, on devices that exist only as data.
#include "runtime/kernels.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "runtime/ops.hpp"
#include "runtime/ops/matmul.hpp"
#include "tests/refusal.hpp"

using namespace vkbert;
using namespace vkbert::test;
using testing::AllOf;
using testing::HasSubstr;

namespace {

Capabilities capable() {
    Capabilities c;
    c.device_name = "Test GPU";
    c.device_class = DeviceClass::discrete;
    c.max_invocations = 1024;
    c.max_workgroup_size[0] = 1024;
    c.max_shared_memory = 32768;
    c.subgroup_size = 32;
    c.min_subgroup_size = 16;
    c.max_subgroup_size = 64;
    c.subgroup_basic = c.subgroup_arithmetic = c.subgroup_shuffle = c.subgroup_quad = true;
    c.subgroup_size_control = c.full_subgroups = true;
    c.buffer_device_address = c.int64 = true;
    c.cooperative_matrix = c.matrix_per_element = true;
    c.cooperative_matrix_shapes = {{16, 16, 16, "fp16", "fp16", "fp16", "fp16"},
                                   {16, 16, 16, "fp16", "fp16", "fp32", "fp32"}};
    c.fp16_arithmetic = c.mixed_dot_product = true;
    c.scalar_pointer_loads = true;
    return c;
}

Requirements everything() {
    Requirements r;
    r.invocations = 1024;
    r.shared_memory = 32768;
    r.min_subgroup_size = 32;
    r.subgroup_arithmetic = r.subgroup_shuffle = r.subgroup_quad = true;
    r.buffer_device_address = r.scalar_pointer_loads = r.texel_buffers = true;
    r.matrix = {16, 16, 16};
    r.matrix_per_element = true;
    r.fp16_arithmetic = r.mixed_dot_product = true;
    r.cpu_only = true;
    return r;
}

struct Lack {
    const char* reason;
    std::function<void(Capabilities&)> take_away;
};

Kernel named(std::string_view name, Requirements r = {}) {
    Kernel k;
    k.op = "matmul";
    k.name = name;
    k.requirements = r;
    return k;
}

std::vector<Kernel> table() {
    Requirements matrix, cpu, shared;
    matrix.matrix = {16, 16, 16};
    cpu.cpu_only = true;
    shared.shared_memory = 16384;
    std::vector<Kernel> kernels{named("matrix", matrix), named("held", cpu), named("tiled", shared),
                                named("plain")};
    kernels[0].required_subgroup_size = 32;
    return kernels;
}

/// All kernels together stay a small part of a program that embeds them.
TEST(Kernels, SizeOfAllShaders) {
    std::set<const Shader*> shaders;
    for (const ops::KernelTable& table : ops::all_kernels())
        for (const Kernel& kernel : table.kernels) shaders.insert(kernel.shader);
    size_t bytes = 0;
    for (const Shader* shader : shaders) bytes += shader->code.size_bytes();
    EXPECT_GT(bytes, 500'000u);
    EXPECT_LT(bytes, 2'500'000u);
}

}  // namespace

TEST(FoldsHere, WhereTheDriverDoesNotUnlessTheKernelStaysGeneral) {
    Capabilities c = capable();
    Kernel kernel = named("any");
    EXPECT_FALSE(folds_here(c, kernel));
    c.folds_constants = false;
    EXPECT_TRUE(folds_here(c, kernel));
    kernel.stays_general = true;
    EXPECT_FALSE(folds_here(c, kernel));
}

TEST(Satisfies, EveryRequirementIsAskedFor) {
    std::string why = "left over";
    EXPECT_TRUE(satisfies(capable(), everything(), &why));
    EXPECT_EQ(why, "");
    const Lack lacks[] = {
        {"needs 1024 invocations per workgroup, the device has 512",
         [](Capabilities& c) { c.max_invocations = 512; }},
        {"needs 1024 invocations per workgroup, the device has 256",
         [](Capabilities& c) { c.max_workgroup_size[0] = 256; }},
        {"needs 32768 bytes of shared memory, the device has 32767",
         [](Capabilities& c) { c.max_shared_memory = 32767; }},
        {"needs subgroup operations", [](Capabilities& c) { c.subgroup_basic = false; }},
        {"needs subgroups of 32, the device has 16", [](Capabilities& c) { c.subgroup_size = 16; }},
        {"needs subgroup arithmetic", [](Capabilities& c) { c.subgroup_arithmetic = false; }},
        {"needs subgroup shuffles", [](Capabilities& c) { c.subgroup_shuffle = false; }},
        {"needs subgroup quad operations", [](Capabilities& c) { c.subgroup_quad = false; }},
        {"needs buffer device addresses", [](Capabilities& c) { c.buffer_device_address = false; }},
        {"needs 64-bit integers", [](Capabilities& c) { c.int64 = false; }},
        {"needs scalar loads at uniform addresses", [](Capabilities& c) { c.scalar_pointer_loads = false; }},
        {"needs texel buffers, which this driver gets wrong",
         [](Capabilities& c) { c.texel_kernels_broken = true; }},
        {"needs fp16 arithmetic", [](Capabilities& c) { c.fp16_arithmetic = false; }},
        {"needs dot products of fp16 with fp32 sums", [](Capabilities& c) { c.mixed_dot_product = false; }},
        {"needs functions of matrix elements", [](Capabilities& c) { c.matrix_per_element = false; }},
        {"needs cooperative matrices", [](Capabilities& c) { c.cooperative_matrix = false; }},
        {"needs cooperative matrices, which this driver gets wrong",
         [](Capabilities& c) { c.cooperative_matrix_broken = true; }},
        {"needs cooperative matrices of 16 x 16 x 16 with fp16 operands and fp32 sums",
         [](Capabilities& c) { c.cooperative_matrix_shapes.pop_back(); }},
    };
    for (const Lack& lack : lacks) {
        Capabilities c = capable();
        lack.take_away(c);
        EXPECT_FALSE(satisfies(c, everything(), &why)) << lack.reason;
        EXPECT_EQ(why, lack.reason);
        EXPECT_FALSE(satisfies(c, everything()));
        EXPECT_TRUE(satisfies(c, Requirements{})) << lack.reason;
    }
}

TEST(ChooseKernel, TakesTheFirstThatFits) {
    const auto kernels = table();
    Capabilities c = capable();
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "matrix");
    c.cooperative_matrix = false;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "tiled") << "held is for CPUs";
    c.max_shared_memory = 8192;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "plain");
    c.device_class = DeviceClass::cpu;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "held");
}

TEST(ChooseKernel, PassesOverWhatSpillsUnlessNothingElseIsLeft) {
    auto kernels = table();
    kernels[0].requirements.registers = 128;
    kernels[2].requirements.registers = 65;
    kernels[3].requirements.registers = 64;
    Capabilities c = capable();
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "matrix") << "0: enough registers for all";
    c.registers = 128;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "matrix");
    c.registers = 65;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "tiled");
    c.registers = 64;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "plain");
    EXPECT_EQ(choose_kernel(kernels, c, {{"matmul", "matrix"}}).name, "matrix") << "spilling is no error";
    c.registers = 32;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "matrix");
    EXPECT_TRUE(satisfies(c, kernels[0].requirements));
    EXPECT_FALSE(keeps_in_registers(c, kernels[0].requirements));
}

TEST(ChooseKernel, PassesOverTexelsWhereBuffersLoadAsFast) {
    const Requirements texels{.texel_buffers = true, .cpu_only = true}, buffers{.cpu_only = true};
    const std::vector<Kernel> all{named("texel", texels), named("buffers", buffers), named("plain")},
        without{named("texel", texels), named("plain")};
    Capabilities c = capable();
    c.device_class = DeviceClass::cpu;
    EXPECT_EQ(choose_kernel(all, c, {}).name, "texel");
    c.fast_buffer_loads = true;
    EXPECT_EQ(choose_kernel(all, c, {}).name, "buffers");
    EXPECT_EQ(choose_kernel(without, c, {}).name, "texel") << "rather than one for GPUs";
    EXPECT_EQ(choose_kernel(std::span(all).first(1), c, {}).name, "texel");
    c.texel_kernels_broken = true;
    EXPECT_EQ(choose_kernel(without, c, {}).name, "plain");
}

TEST(ChooseKernel, RequiredSubgroupSizeMustBePossible) {
    const auto kernels = table();
    Capabilities c = capable();
    c.subgroup_size_control = false;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "tiled");
    c.min_subgroup_size = c.max_subgroup_size = 32;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "matrix") << "all subgroups have that size anyway";
    c = capable();
    c.max_subgroup_size = 16;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "tiled");
    c = capable();
    c.min_subgroup_size = 64;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "tiled");
    EXPECT_THAT(refusal(
                    [&] {
                        choose_kernel(kernels, c, {{"matmul", "matrix"}});
                    },
                    ErrorCode::unsupported),
                AllOf(HasSubstr("kernel matmul=matrix cannot run on Test GPU"),
                      HasSubstr("subgroups of exactly 32")));
}

TEST(ChooseKernel, StorageBuffersMustNotBeTooMany) {
    auto kernels = table();
    using enum BindingKind;
    kernels[0].bindings = {storage, storage, texel, storage, address, storage, storage};
    Capabilities c = capable();
    c.max_storage_buffers = 5;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "matrix") << "texel and address bindings do not count";
    c.max_storage_buffers = 4;
    EXPECT_EQ(choose_kernel(kernels, c, {}).name, "tiled");
    std::string why;
    EXPECT_TRUE(satisfies(c, kernels[2], &why));
    EXPECT_EQ(why, "");
    EXPECT_FALSE(satisfies(c, kernels[0], &why));
    EXPECT_EQ(why, "needs 5 storage buffers, the device has 4");
}

TEST(ChooseKernel, NoneFits) {
    auto kernels = table();
    kernels.pop_back();
    Capabilities c = capable();
    c.cooperative_matrix = false;
    c.max_shared_memory = 8192;
    EXPECT_THAT(
        refusal([&] { choose_kernel(kernels, c, {}); }, ErrorCode::unsupported),
        AllOf(HasSubstr("no matmul kernel for Test GPU"), HasSubstr("matrix needs cooperative"),
              HasSubstr("held is for CPU drivers"), HasSubstr("tiled needs 16384 bytes of shared memory")));
    EXPECT_THAT(refusal([&] { choose_kernel({}, c, {}); }, ErrorCode::unsupported),
                HasSubstr("no such kernel"));
}

TEST(ForcedKernel, IsTakenWhereItCanRun) {
    const auto kernels = table();
    const Capabilities c = capable();
    EXPECT_EQ(forced_kernel(kernels, c, {}), nullptr);
    EXPECT_EQ(forced_kernel(kernels, c, {{"softmax", "plain"}}), nullptr);
    EXPECT_EQ(forced_kernel({}, c, {{"matmul", "plain"}}), nullptr);
    EXPECT_EQ(forced_kernel(kernels, c, {{"matmul", "plain"}}), &kernels[3]);
    EXPECT_EQ(forced_kernel(kernels, c, {{"matmul", "held"}}), &kernels[1])
        << "CPU kernels run anywhere when forced";
    EXPECT_EQ(&choose_kernel(kernels, c, {{"matmul", "tiled"}}), &kernels[2]);
}

TEST(ForcedKernel, UnknownNamesAndImpossibleKernels) {
    const auto kernels = table();
    Capabilities c = capable();
    EXPECT_THAT(refusal(
                    [&] {
                        choose_kernel(kernels, c, {{"matmul", "fast"}});
                    },
                    ErrorCode::invalid_argument),
                HasSubstr("no kernel matmul=fast: there are matrix, held, tiled, plain"));
    c.max_shared_memory = 1024;
    EXPECT_THAT(refusal(
                    [&] {
                        choose_kernel(kernels, c, {{"matmul", "tiled"}});
                    },
                    ErrorCode::unsupported),
                HasSubstr("kernel matmul=tiled cannot run on Test GPU: needs 16384 bytes of shared memory"));
}

TEST(ChooseMatmul, TakesTheEpilogueInRegistersForRaggedColumns) {
    Capabilities c = capable();
    c.max_storage_buffers = 16;
    c.max_shared_memory = 65536;
    const auto known = ops::matmul_kernels(Type::fp16);
    if (std::ranges::none_of(known, [](const Kernel& k) { return k.requirements.matrix_per_element; }))
        GTEST_SKIP() << "this build's glslc has no GL_NV_cooperative_matrix2";
    const auto chosen = [&](uint32_t m, uint32_t n) {
        return ops::choose_matmul(
                   c, {}, {.m = m, .n = n, .k = 768, .type = Type::fp16, .a_pitch = 768, .b_pitch = 768})
            .name;
    };
    EXPECT_EQ(chosen(1024, 30522), "matrix_16_128_nv");
    EXPECT_EQ(chosen(1024, 3072), "matrix_16_128");
    EXPECT_EQ(chosen(64, 30522), "matrix_16_128") << "no workgroup of 128 rows lies inside C";
    EXPECT_EQ(chosen(64, 102), "matrix_16_64_nv");
    c.matrix_per_element = false;
    EXPECT_EQ(chosen(1024, 30522), "matrix_16_128");
}

TEST(ChooseMatmul, TakesLargeTilesWhereTheyFillTheDevice) {
    ops::MatmulProblem problem{.m = 1024, .n = 2304, .k = 768, .a_pitch = 768, .b_pitch = 768};
    Capabilities c = capable();
    c.cooperative_matrix = false;
    c.max_storage_buffers = 16;
    for (const DeviceClass device_class : {DeviceClass::discrete, DeviceClass::integrated}) {
        const bool discrete = device_class == DeviceClass::discrete;
        c.device_class = device_class;
        problem.m = 1024, problem.n = 2304;  // 144 tiles of 128 x 128
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_128");
        problem.n = 768;  // 48, and 192 of 64 x 64
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64_8");
        problem.m = 256;  // 48 of 64 x 64
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, discrete ? "tiled_64" : "tiled_64_8");
        problem.m = 64;  // 12
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_32");
    }
}

TEST(ChooseMatmul, TakesDotProductsAndUnrolledLoopsWhereTheyPay) {
    ops::MatmulProblem problem{.m = 1024, .n = 2304, .k = 768, .a_pitch = 768, .b_pitch = 768};
    Capabilities c = capable();
    c.cooperative_matrix = false;
    c.max_storage_buffers = 16;
    EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_128");
    problem.type = Type::fp16;
    EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_128_dot");
    problem.n = 768;
    EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64_8_dot");
    problem.m = 64;
    EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_32");
    problem.m = 1024;
    c.mixed_dot_product = false;
    EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64_8") << "pairs are for Tuning to choose";
    c.subgroup_size = 64;
    EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64_8_both");
    c.loops_take_turns = true;
    for (const Type type : {Type::fp32, Type::fp16}) {
        problem.type = type;
        problem.n = 2304;
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_128");
        problem.n = 768;
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64_8_unrolled");
    }
}

TEST(ChooseMatmul, TakesSmallTilesWhereRegistersAreFew) {
    ops::MatmulProblem problem{.m = 1024, .n = 768, .k = 768, .a_pitch = 768, .b_pitch = 768};
    for (const Type type : {Type::fp32, Type::fp16}) {
        problem.type = type;
        Capabilities c = capable();
        c.cooperative_matrix = c.mixed_dot_product = false;
        c.device_class = DeviceClass::integrated;
        c.max_storage_buffers = 16;
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64_8");
        c.registers = 127;
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_64");
        c.registers = 64;
        EXPECT_EQ(ops::choose_matmul(c, {}, problem).name, "tiled_32");
        EXPECT_EQ(ops::choose_matmul(c, {{"matmul", "tiled_128"}}, problem).name, "tiled_128");
    }
}
