// The plan without a GPU: every placement and every hazard of random plans by brute force, and what append()
// refuses.
#include "runtime/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tests/refusal.hpp"

using namespace vkbert;
using namespace vkbert::test;
using testing::HasSubstr;

namespace {

constexpr BindingKind S = BindingKind::storage;

Kernel kernel_with(std::vector<BindingKind> bindings) {
    Kernel kernel;
    kernel.op = "op";
    kernel.name = "plain";
    kernel.bindings = std::move(bindings);
    return kernel;
}

struct RandomPlan {
    std::vector<Kernel> kernels;  // index n: n storage bindings
    Plan plan;
    explicit RandomPlan(uint32_t seed);
};

Capabilities roomy() {
    Capabilities c;
    c.storage_alignment = 64;
    c.texel_alignment = 16;
    c.max_storage_buffers = 6;  // of RandomPlan's largest kernel
    return c;
}

RandomPlan::RandomPlan(uint32_t seed) : plan(roomy()) {
    std::mt19937 random(seed);
    const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
    for (size_t n = 0; n <= 6; ++n) kernels.push_back(kernel_with(std::vector<BindingKind>(n, S)));
    std::vector<Tensor> fresh, written;
    const size_t persistent = 1 + pick(3), temporaries = 1 + pick(12), dispatches = 1 + pick(40);
    for (size_t i = 0; i < persistent; ++i) {
        const StorageId id = plan.persistent_storage("weights", 4096);
        for (uint64_t offset = 0; offset < 4096; offset += 1024)
            written.push_back(Plan::tensor_at(id, offset, 1 + pick(4), 64, Type::fp32));
    }
    for (size_t i = 0; i < temporaries; ++i)
        fresh.push_back(plan.temporary("t", 1 + pick(40), 1 + pick(200)));
    for (size_t i = 0; i < dispatches; ++i) {
        Dispatch d;
        d.label = fmt::format("d{}", i);
        for (size_t reads = pick(4); reads > 0; --reads)
            d.bindings.push_back({written[pick(written.size())], Access::read});
        Tensor target = written[pick(written.size())];
        if (!fresh.empty() && pick(2) == 0) {
            target = fresh.back();
            fresh.pop_back();
            written.push_back(target);
            d.bindings.push_back({target, Access::write});
        } else {
            d.bindings.push_back({target, pick(2) == 0 ? Access::write : Access::read_write});
        }
        if (target.rows.capacity > 16 && pick(3) == 0) {  // rows 16 on; 16 rows are a multiple of 64 bytes
            const Tensor part = target.rows_at(16, target.rows.capacity - 16);
            written.push_back(part);
        }
        d.kernel = &kernels[d.bindings.size()];
        plan.append(d);
    }
    plan.finish();
}

bool conflict(const Plan& plan, const Dispatch& a, const Dispatch& b) {
    for (const Binding& x : a.bindings)
        for (const Binding& y : b.bindings) {
            const Plan::Range p = plan.range(x), q = plan.range(y);
            const bool meet = p.space == q.space && std::max(p.begin, q.begin) < std::min(p.end, q.end);
            if (meet && (x.access != Access::read || y.access != Access::read)) return true;
        }
    return false;
}

/// First and last dispatch that touch a storage; {1, 0} when none does.
std::pair<size_t, size_t> lifetime(const Plan& plan, StorageId id) {
    std::pair<size_t, size_t> life{1, 0};
    bool seen = false;
    for (size_t i = 0; i < plan.dispatches().size(); ++i)
        for (const Binding& b : plan.dispatches()[i].bindings)
            if (b.tensor.storage == id) {
                if (!seen) life.first = i;
                life.second = i;
                seen = true;
            }
    return life;
}

class Random : public testing::TestWithParam<uint32_t> {};

}  // namespace

TEST_P(Random, TemporariesAliveTogetherNeverOverlap) {
    const RandomPlan r(GetParam());
    const auto& storages = r.plan.storages();
    uint64_t sum = 0, peak = 0;
    for (size_t i = 0; i < r.plan.dispatches().size(); ++i) {
        uint64_t live = 0;
        for (StorageId a = 0; a < storages.size(); ++a) {
            const auto life = lifetime(r.plan, a);
            if (storages[a].kind == StorageKind::temporary && life.first <= i && i <= life.second)
                live += storages[a].bytes;
        }
        peak = std::max(peak, live);
    }
    for (StorageId a = 0; a < storages.size(); ++a) {
        if (storages[a].kind != StorageKind::temporary) continue;
        const auto p = lifetime(r.plan, a);
        if (p.first > p.second) continue;
        sum += (storages[a].bytes + 255) / 256 * 256;
        EXPECT_EQ(storages[a].offset % 256, 0u);
        EXPECT_LE(storages[a].offset + storages[a].bytes + Plan::read_slack, r.plan.arena_bytes());
        for (StorageId b = a + 1; b < storages.size(); ++b) {
            const auto q = lifetime(r.plan, b);
            if (storages[b].kind != StorageKind::temporary || p.first > q.second || q.first > p.second ||
                q.first > q.second)
                continue;
            EXPECT_TRUE(storages[a].offset + storages[a].bytes <= storages[b].offset ||
                        storages[b].offset + storages[b].bytes <= storages[a].offset)
                << a << " and " << b;
        }
    }
    if (sum == 0) {
        EXPECT_EQ(r.plan.arena_bytes(), 0u);
    } else {
        EXPECT_LE(r.plan.arena_bytes(), sum + Plan::read_slack);
        EXPECT_GE(r.plan.arena_bytes(), peak + Plan::read_slack);
    }
}

TEST_P(Random, EveryHazardHasABarrierAndNoBarrierIsNeedless) {
    const RandomPlan r(GetParam());
    const auto& d = r.plan.dispatches();
    EXPECT_FALSE(d[0].barrier_before);
    for (size_t j = 0; j < d.size(); ++j) {
        // Walking back from j, dispatches up to the nearest barrier run at the same time as j.
        size_t i = j;
        while (i > 0 && !d[i].barrier_before) {
            --i;
            EXPECT_FALSE(conflict(r.plan, d[i], d[j])) << i << " and " << j;
        }
        if (!d[j].barrier_before) continue;
        // The barrier before j is the only one between j and the dispatches back to the barrier before that.
        bool needed = false;
        for (i = j; i-- > 0;) {
            needed |= conflict(r.plan, d[i], d[j]);
            if (d[i].barrier_before) break;
        }
        EXPECT_TRUE(needed) << "before " << j;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Random, testing::Range(0u, 400u));

TEST(RandomPlans, TouchWhatTheTestsAreFor) {
    size_t barriers = 0, dispatches = 0, shared = 0;
    for (uint32_t seed = 0; seed < 400; ++seed) {
        const RandomPlan r(seed);
        uint64_t sum = 0;
        for (const auto& d : r.plan.dispatches()) barriers += d.barrier_before;
        for (StorageId id = 0; id < r.plan.storages().size(); ++id) {
            const auto life = lifetime(r.plan, id);
            if (r.plan.storages()[id].kind == StorageKind::temporary && life.first <= life.second)
                sum += r.plan.storages()[id].bytes;
        }
        dispatches += r.plan.dispatches().size();
        shared += sum + Plan::read_slack > r.plan.arena_bytes();
    }
    EXPECT_GT(barriers, dispatches / 10);
    EXPECT_LT(barriers, dispatches * 9 / 10);
    EXPECT_GT(shared, 100u) << "plans whose temporaries share memory";
}

TEST(Plan, AChainNeedsTwoBuffersAndABarrierAStep) {
    Plan plan{Capabilities{}};
    const Kernel one = kernel_with({S}), two = kernel_with({S, S});
    Tensor previous = plan.temporary("x0", 16, 64);
    Dispatch first;
    first.kernel = &one;
    first.bindings = {{previous, Access::write}};
    plan.append(first);
    for (int i = 1; i < 10; ++i) {
        const Tensor next = plan.temporary(fmt::format("x{}", i), 16, 64);
        Dispatch d;
        d.kernel = &two;
        d.bindings = {{previous, Access::read}, {next, Access::write}};
        plan.append(d);
        previous = next;
    }
    plan.finish();
    EXPECT_EQ(plan.arena_bytes(), 2 * 16 * 64 * 4 + Plan::read_slack);
    for (size_t i = 0; i < 10; ++i) EXPECT_EQ(plan.dispatches()[i].barrier_before, i > 0);
}

TEST(Plan, IndependentWorkStaysInOneGroup) {
    Plan plan{Capabilities{}};
    const Kernel two = kernel_with({S, S});
    const Tensor dy = plan.persistent("dy", 8, 64), dx = plan.persistent("dx", 8, 64),
                 dw = plan.persistent("dw", 8, 64);
    for (const Tensor& target : {dx, dw}) {
        Dispatch d;
        d.kernel = &two;
        d.bindings = {{dy, Access::read}, {target, Access::write}};
        plan.append(d);
    }
    plan.finish();
    EXPECT_FALSE(plan.dispatches()[1].barrier_before);
    EXPECT_EQ(plan.arena_bytes(), 0u);
}

/// The place of what is read last in a group of dispatches is not taken within that group.
TEST(Plan, MemoryIsNotReusedWhereThatNeedsABarrier) {
    Plan plan{Capabilities{}};
    const Kernel two = kernel_with({S, S});
    const Tensor x = plan.persistent("x", 8, 64), y1 = plan.persistent("y1", 8, 64),
                 y2 = plan.persistent("y2", 8, 64), t1 = plan.temporary("t1", 8, 64),
                 t2 = plan.temporary("t2", 8, 64);
    for (const auto& [from, to] : {std::pair(x, t1), {t1, y1}, {x, t2}, {t2, y2}}) {
        Dispatch d;
        d.kernel = &two;
        d.bindings = {{from, Access::read}, {to, Access::write}};
        plan.append(d);
    }
    plan.finish();
    EXPECT_TRUE(plan.dispatches()[1].barrier_before);
    EXPECT_FALSE(plan.dispatches()[2].barrier_before);
    EXPECT_TRUE(plan.dispatches()[3].barrier_before);
    EXPECT_EQ(plan.barriers(), 2u);
}

TEST(Plan, TemporariesHaveTheDevicesAlignment) {
    Capabilities c;
    c.texel_alignment = 1024;
    Plan plan{c};
    const Kernel two = kernel_with({S, S});
    Dispatch d;
    d.kernel = &two;
    d.bindings = {{plan.temporary("a", 1, 3), Access::write}, {plan.temporary("b", 1, 5), Access::write}};
    plan.append(d);
    plan.finish();
    EXPECT_EQ(plan.storages()[1].offset + plan.storages()[2].offset, 1024u);
    EXPECT_EQ(plan.arena_bytes(), 2048 + Plan::read_slack);
}

namespace {

/// A small plan whose every limit is near, and a good dispatch for it that a test then spoils.
struct Case {
    const char* name;
    const char* message;
    std::function<void(Plan&, Dispatch&)> spoil;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.name;
}

Capabilities tight() {
    Capabilities c;
    c.max_storage_buffer_range = 4096;
    c.max_texel_elements = 256;
    c.storage_alignment = 64;
    c.texel_alignment = 128;
    c.max_push_constants = 32;
    c.max_workgroup_count[0] = 100;
    c.max_workgroup_count[1] = 10;
    c.max_workgroup_count[2] = 5;
    return c;
}

const Kernel& mixed() {
    static const Kernel kernel = kernel_with({S, BindingKind::texel, BindingKind::address});
    return kernel;
}

struct Fixture {
    Plan plan{tight()};
    Tensor big = plan.persistent("big", 64, 32);  // 8192 bytes
    Tensor never = plan.temporary("never", 4, 16);
    Dispatch good;
    Fixture() {
        plan.set_label_prefix("layer 3 ");
        good.kernel = &mixed();
        good.label = "ffn1";
        good.bindings = {
            {big.rows_at(0, 32), Access::write}, {big.rows_at(32, 32), Access::read}, {big, Access::read}};
        good.push_size = 24;
        good.groups = {Groups{100u, 1, 1}, Groups{20u, 2, 1}, Groups{1u, 1, 5}};
    }
};

const Kernel& five() {
    static const Kernel kernel = kernel_with({S, S, S, S, S});
    return kernel;
}

const Case cases[] = {
    {"NoKernel", "no kernel", [](Plan&, Dispatch& d) { d.kernel = nullptr; }},
    {"StorageBuffers", "5 storage buffers, the device has 4",
     [](Plan&, Dispatch& d) {
         d.kernel = &five();
         d.bindings.assign(5, d.bindings[0]);
     }},
    {"BindingMissing", "2 bindings, kernel op plain has 3",
     [](Plan&, Dispatch& d) { d.bindings.pop_back(); }},
    {"NoSuchStorage", "binding 0: the plan has no storage 9",
     [](Plan&, Dispatch& d) { d.bindings[0].tensor.storage = 9; }},
    {"PastTheEnd", "binding 2: bytes 64 to 8256 of big, which has 8192",
     [](Plan&, Dispatch& d) { d.bindings[2].tensor.offset = 64; }},
    {"OffsetPastTheEnd", "of big, which has 8192",
     [](Plan&, Dispatch& d) { d.bindings[2].tensor.offset = ~uint64_t(0) - 63; }},
    {"EmptyTensor", "binding 2: an empty tensor (0,32)",
     [](Plan&, Dispatch& d) { d.bindings[2].tensor.rows = 0u; }},
    {"NarrowPitch", "binding 2: a pitch of 31 below 32 columns",
     [](Plan&, Dispatch& d) { d.bindings[2].tensor.pitch = 31; }},
    {"AbsurdShape", "is too large for any memory",
     [](Plan&, Dispatch& d) {
         Tensor& t = d.bindings[2].tensor;
         t.rows = ~0u;
         t.columns = t.pitch = ~0u;
     }},
    {"StorageRange", "binding 0: 4100 bytes of big, maxStorageBufferRange is 4096",
     [](Plan&, Dispatch& d) { d.bindings[0].tensor = Plan::tensor_at(1, 0, 1, 1025, Type::fp32); }},
    {"StorageAlignment", "binding 0: offset 32 in big, minStorageBufferOffsetAlignment is 64",
     [](Plan&, Dispatch& d) { d.bindings[0].tensor = d.bindings[0].tensor.columns_at(8, 8); }},
    {"Texels", "binding 1: 257 texels of big, maxTexelBufferElements is 256",
     [](Plan&, Dispatch& d) { d.bindings[1].tensor = Plan::tensor_at(1, 0, 1, 1025, Type::fp32); }},
    {"TexelsOfHalves", "binding 1: 257 texels of big",
     [](Plan&, Dispatch& d) { d.bindings[1].tensor = Plan::tensor_at(1, 0, 1, 1025, Type::fp16); }},
    {"TexelAlignment", "binding 1: offset 64 in big, minTexelBufferOffsetAlignment is 128",
     [](Plan&, Dispatch& d) { d.bindings[1].tensor = Plan::tensor_at(1, 64, 1, 8, Type::fp32); }},
    {"GroupsX", "101 x 1 workgroups on axis 0, the device has 100",
     [](Plan&, Dispatch& d) { d.groups[0].extent = 101u; }},
    {"GroupsY", "11 x 1 workgroups on axis 1, the device has 10",
     [](Plan&, Dispatch& d) { d.groups[1].extent = 21u; }},
    {"GroupsZ", "1 x 6 workgroups on axis 2, the device has 5",
     [](Plan&, Dispatch& d) { d.groups[2].multiplier = 6; }},
    {"GroupsWrapAround", "workgroups on axis 0",
     [](Plan&, Dispatch& d) {
         d.groups[0] = {Extent(0x80000000u), 1, 2};
     }},
    {"GroupsDivisor", "groups divided by 0 on axis 1", [](Plan&, Dispatch& d) { d.groups[1].divisor = 0; }},
    {"Push", "28 bytes of push constants and 1 addresses, the device has 32 bytes",
     [](Plan&, Dispatch& d) { d.push_size = 28; }},
    {"PushSize", "4096 bytes of push constants", [](Plan&, Dispatch& d) { d.push_size = 4096; }},
    {"TensorSymbol", "the plan has no symbol 1",
     [](Plan&, Dispatch& d) {
         d.bindings[2].tensor.rows = {8, 1};
     }},
    {"GroupSymbol", "the plan has no symbol 2",
     [](Plan&, Dispatch& d) {
         d.groups[2].extent = {1, 2};
     }},
    {"WorkSymbol", "the plan has no symbol 3",
     [](Plan&, Dispatch& d) {
         d.work.extent = {1, 3};
     }},
    {"ReadBeforeWrite", "reads never, which nothing has written",
     [](Plan&, Dispatch& d) {
         d.bindings[2] = {Plan::tensor_at(2, 0, 4, 16, Type::fp32), Access::read};
     }},
    {"ReadWriteBeforeWrite", "reads never, which nothing has written",
     [](Plan&, Dispatch& d) {
         d.bindings[2] = {Plan::tensor_at(2, 0, 4, 16, Type::fp32), Access::read_write};
     }},
    {"AfterFinish", "the plan is finished", [](Plan& plan, Dispatch&) { plan.finish(); }},
};

class Append : public testing::TestWithParam<Case> {};

TEST(Plan, RowsOfActivationsDoNotShareLinesOfAProcessorsCache) {
    Capabilities c;
    c.device_class = DeviceClass::cpu;
    const Plan cpu{c};
    EXPECT_EQ(cpu.activation_pitch(768, Type::fp32), 768u);
    EXPECT_EQ(cpu.activation_pitch(3072, Type::fp32), 3072u + 16);
    EXPECT_EQ(cpu.activation_pitch(512, Type::fp32), 512u + 16);
    EXPECT_EQ(cpu.activation_pitch(1024, Type::fp16), 1024u + 32);
    c.device_class = DeviceClass::discrete;
    EXPECT_EQ(Plan{c}.activation_pitch(3072, Type::fp32), 3072u);
}

}  // namespace

TEST(Plan, AppendAcceptsWhatFitsExactly) {
    Fixture f;
    f.plan.append(f.good);
    ASSERT_EQ(f.plan.dispatches().size(), 1u);
    EXPECT_EQ(f.plan.dispatches()[0].label, "layer 3 ffn1");
}

TEST_P(Append, RefusesNamingTheLabel) {
    Fixture f;
    GetParam().spoil(f.plan, f.good);
    const std::string message = refusal([&] { f.plan.append(f.good); });
    EXPECT_THAT(message, HasSubstr("layer 3 ffn1: "));
    EXPECT_THAT(message, HasSubstr(GetParam().message));
    EXPECT_TRUE(f.plan.dispatches().empty());
}

INSTANTIATE_TEST_SUITE_P(Cases, Append, testing::ValuesIn(cases),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(Plan, AFailedAppendWritesNothing) {
    Fixture f;
    f.good.bindings[0] = {f.never, Access::write};
    f.good.bindings[2].tensor.offset = 64;
    EXPECT_THAT(refusal([&] { f.plan.append(f.good); }), HasSubstr("bytes 64"));
    f.good.bindings[2] = {f.never, Access::read};
    f.good.bindings[0] = {f.big.rows_at(0, 1), Access::write};
    EXPECT_THAT(refusal([&] { f.plan.append(f.good); }), HasSubstr("reads never"));
}

TEST(Plan, RefusesEmptyAndAbsurdStorages) {
    Plan plan{Capabilities{}};
    EXPECT_THAT(refusal([&] { plan.temporary("t", 0u, 4); }), HasSubstr("t: an empty tensor (0,4)"));
    EXPECT_THAT(refusal([&] { plan.persistent("p", 4u, 0); }), HasSubstr("p: an empty tensor (4,0)"));
    EXPECT_THAT(refusal([&] { plan.persistent("p", ~0u, ~0u); }), HasSubstr("too large"));
    EXPECT_THAT(refusal([&] { plan.persistent_storage("s", 0); }), HasSubstr("storage s: no bytes"));
    EXPECT_THAT(refusal([&] { plan.symbol("n", 0); }), HasSubstr("symbol n: a capacity of 0"));
    plan.finish();
    EXPECT_THAT(refusal([&] { plan.finish(); }), HasSubstr("finished already"));
    EXPECT_THAT(refusal([&] { plan.temporary("t", 1u, 4); }), HasSubstr("temporary t: the plan is finished"));
    EXPECT_THAT(refusal([&] { plan.persistent("p", 1u, 4); }), HasSubstr("storage p: the plan is finished"));
    EXPECT_THAT(refusal([&] { plan.symbol("n", 1); }), HasSubstr("symbol n: the plan is finished"));
}

TEST(Plan, SymbolsAndCounts) {
    Plan plan{Capabilities{}};
    EXPECT_EQ(plan.counts().storage, 0u);
    EXPECT_EQ(plan.counts().columns, Plan::max_symbols);
    EXPECT_EQ(plan.counts().type, Type::uint32);
    EXPECT_EQ(plan.storages()[0].name, "counts");
    EXPECT_EQ(plan.storages()[0].kind, StorageKind::persistent);
    const Extent tokens = plan.symbol("tokens", 512), sequences = plan.symbol("sequences", 8);
    EXPECT_EQ(tokens, Extent(512, 1));
    EXPECT_EQ(sequences, Extent(8, 2));
    EXPECT_FALSE(tokens.constant());
    EXPECT_TRUE(Extent(512).constant());
    EXPECT_EQ(plan.symbol_capacity(2), 8u);
    for (uint32_t i = 3; i < Plan::max_symbols; ++i) EXPECT_EQ(plan.symbol("x", 1).symbol, i);
    EXPECT_THAT(refusal([&] { plan.symbol("one more", 1); }), HasSubstr("at most 15 symbols"));
}

TEST(Plan, GroupsRoundUp) {
    const Groups g{Extent(512, 1), 16, 3};
    EXPECT_EQ(g.count(0), 0u);
    EXPECT_EQ(g.count(1), 3u);
    EXPECT_EQ(g.count(16), 3u);
    EXPECT_EQ(g.count(17), 6u);
    EXPECT_EQ(g.capacity(), 96u);
    EXPECT_EQ((Groups{~0u, 1u << 31, 1}).capacity(), 2u);
}

TEST(Plan, TensorBytesAndSlices) {
    const Tensor t = Plan::tensor_at(3, 1024, Extent(10, 1), 12, Type::fp16);
    EXPECT_EQ(t.bytes(), 240u);
    const Tensor middle = t.columns_at(4, 4);
    EXPECT_EQ(middle.offset, 1032u);
    EXPECT_EQ(middle.bytes(), (9 * 12 + 4) * 2u);
    EXPECT_EQ(middle.pitch, 12u);
    const Tensor rows = t.rows_at(3, 2);
    EXPECT_EQ(rows.offset, 1024u + 72u);
    EXPECT_EQ(rows.bytes(), 48u);
    EXPECT_TRUE(rows.rows.constant());
}

TEST(Plan, DescribesItself) {
    Plan plan{Capabilities{}};
    const Extent tokens = plan.symbol("tokens", 64);
    const Kernel one = kernel_with({S}), two = kernel_with({S, S});
    const Tensor x = plan.temporary("x", tokens, 32);
    Dispatch d;
    d.kernel = &one;
    d.label = "first";
    d.bindings = {{x, Access::write}};
    d.groups[0] = {tokens, 16, 2};
    d.work = {tokens, 1e6, 0, 0, 0};
    plan.append(d);
    d.kernel = &two;
    d.label = "second";
    d.bindings = {{x, Access::read}, {plan.persistent("y", 64, 32), Access::write}};
    d.groups[0] = {7u, 1, 1};
    d.work = {};
    plan.append(d);
    plan.finish();
    const std::string text = plan.describe();
    EXPECT_THAT(text,
                HasSubstr("2 dispatches, 1 barriers, arena 270336 bytes for 8192 bytes of temporaries\n"));
    EXPECT_THAT(text, HasSubstr("   0   first "));
    EXPECT_THAT(text, HasSubstr("tokens/16*2<=8 x 1 x 1"));
    EXPECT_THAT(text, HasSubstr("64.000\n"));
    EXPECT_THAT(text, HasSubstr("   1 | second "));
    EXPECT_THAT(text, HasSubstr("op plain"));
}
