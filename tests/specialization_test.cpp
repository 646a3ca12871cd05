// Specialization done by us: what becomes of hand-made modules, and that none of our kernels' constants is
// left.
#include "runtime/specialization.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/ops.hpp"

using namespace vkbert;

namespace {

using Words = std::vector<uint32_t>;

uint32_t head(uint32_t words, uint32_t op) {
    return words << 16 | op;
}

// Ids of a module's types; constants are 10 and more.
constexpr uint32_t boolean = 1, integer = 2;
constexpr uint32_t op_true = 41, op_false = 42, op_constant = 43, op_composite = 44, op_spec_true = 48,
                   op_spec_constant = 50, op_spec_composite = 51, op_spec_op = 52;

Words header() {
    return {0x07230203, 0x00010300, 0, 100, 0};
}

/// A module with constant_id 0 = %10 = 4, 2 = %11 = true, and what is given.
Words module(const Words& more) {
    Words code = header();
    for (const Words& words :
         {Words{head(4, 71), 10, 1, 0}, Words{head(4, 71), 11, 1, 2}, Words{head(2, 20), boolean},
          Words{head(4, 21), integer, 32, 0}, Words{head(4, op_spec_constant), integer, 10, 4},
          Words{head(3, op_spec_true), boolean, 11}, more})
        code.insert(code.end(), words.begin(), words.end());
    return code;
}

/// What is left of `more` in a module whose constants 0, 1, 2 are set.
Words after(const Words& more, const Words& constants) {
    const Words code = specialize(module(more), constants);
    constexpr size_t before = 5 + 2 + 4 + 4 + 3;
    return {code.begin() + before, code.end()};
}

Words constant(uint32_t id, uint32_t value) {
    return {head(4, op_constant), integer, id, value};
}

struct Fold {
    uint32_t op, value;
    bool is_boolean = false;
};

/// Number of words of the instruction at `at`, checked.
size_t length(std::span<const uint32_t> code, size_t at) {
    const size_t words = code[at] >> 16;
    EXPECT_GT(words, 0u);
    EXPECT_LE(at + words, code.size());
    return words;
}

}  // namespace

TEST(Specialization, ConstantsAreSetOrKeepTheirDefaults) {
    Words all = header();
    for (const Words& words : {Words{head(2, 20), boolean}, Words{head(4, 21), integer, 32, 0},
                               constant(10, 7), Words{head(3, op_false), boolean, 11}})
        all.insert(all.end(), words.begin(), words.end());
    EXPECT_EQ(specialize(module({}), Words{7, 9, 0}), all);
    all.resize(all.size() - 7);
    for (const Words& words : {constant(10, 4), Words{head(3, op_true), boolean, 11}})
        all.insert(all.end(), words.begin(), words.end());
    EXPECT_EQ(specialize(module({}), {}), all);
}

TEST(Specialization, OperationsAreFolded) {
    // Of constants 7 and 3.
    const Fold folds[] = {{128, 10},      {130, 4},       {132, 21},      {134, 2},       {137, 1},
                          {197, 7},       {199, 3},       {170, 0, true}, {171, 1, true}, {172, 1, true},
                          {174, 1, true}, {176, 0, true}, {178, 0, true}};
    for (const Fold& fold : folds) {
        SCOPED_TRACE(fold.op);
        Words more = constant(12, 3), expected = more;
        const uint32_t type = fold.is_boolean ? boolean : integer;
        for (const uint32_t word : {head(6, op_spec_op), type, 13u, fold.op, 10u, 12u}) more.push_back(word);
        const Words folded = fold.is_boolean
                                 ? Words{head(3, fold.value != 0 ? op_true : op_false), boolean, 13}
                                 : constant(13, fold.value);
        expected.insert(expected.end(), folded.begin(), folded.end());
        EXPECT_EQ(after(more, {7, 0, 1}), expected);
    }
}

TEST(Specialization, FoldsWhatFollowsFromFoldedOnes) {
    const Words more{head(5, op_spec_op),        boolean, 12, 168, 11,          // not %11
                     head(6, op_spec_op),        boolean, 13, 166, 12, 11,      // or: true
                     head(7, op_spec_op),        integer, 14, 169, 13, 10, 10,  // select
                     head(6, op_spec_composite), 3,       15, 10,  14, 10};
    Words expected{head(3, op_true), boolean, 12, head(3, op_true), boolean, 13};
    for (const Words& words : {constant(14, 5), Words{head(6, op_composite), 3, 15, 10, 14, 10}})
        expected.insert(expected.end(), words.begin(), words.end());
    EXPECT_EQ(after(more, {5, 0, 0}), expected);
}

TEST(Specialization, LeavesWhatItCannotFold) {
    const Words division{head(6, op_spec_op), integer, 13, 134, 10, 12};  // of 4 by 0
    Words more = constant(12, 0);
    more.insert(more.end(), division.begin(), division.end());
    EXPECT_EQ(after(more, {}), more);
    const Words unknown{head(6, op_spec_op),
                        integer,
                        13,
                        200,
                        10,
                        10};  // OpNot has one operand, and no shader of ours has it
    EXPECT_EQ(after(unknown, {}), unknown);
    const Words wide{head(5, op_spec_constant), 4, 14, 1, 2};  // of 64 bits
    EXPECT_EQ(after(wide, {}), wide);
}

TEST(Specialization, EndsWhereNoInstructionBegins) {
    EXPECT_EQ(specialize({}, {}), Words());
    EXPECT_EQ(specialize(Words{1, 2}, {}), (Words{1, 2}));
    for (const Words& rest : {Words{0, op_spec_true}, Words{head(9, op_spec_true), boolean, 12}})
        EXPECT_EQ(after(rest, {}), rest);
}

TEST(Specialization, NoConstantOfOurKernelsIsLeft) {
    std::vector<Kernel> kernels;
    for (const ops::KernelTable& table : ops::all_kernels())
        kernels.insert(kernels.end(), table.kernels.begin(), table.kernels.end());
    for (const Kernel& kernel : kernels) {
        if (kernel.requirements.matrix.m != 0) continue;  // would divide by 0 with what follows
        SCOPED_TRACE(kernel.shader->name);
        Words constants = kernel.constants;
        constants.resize(16, 64);  // a call's
        const Words code = specialize(kernel.shader->code, constants);
        ASSERT_TRUE(std::equal(code.begin(), code.begin() + 5, kernel.shader->code.begin()));
        for (size_t at = 5; at < code.size(); at += length(code, at)) {
            const uint32_t op = code[at] & 0xFFFF;
            EXPECT_FALSE(op >= op_spec_true && op <= op_spec_op) << "instruction " << op << " at word " << at;
            EXPECT_FALSE(op == 71 && code[at + 2] == 1) << "SpecId at word " << at;
        }
    }
}
