// Recordings on a device: replay, run-time counts, submits, memory, an engine's buffers, command buffers and
// device.
#include "runtime/recording.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>

#include "runtime/specialization.hpp"
#include "tests/affine.hpp"
#include "tests/refusal.hpp"
#include "tests/test_device.hpp"

using namespace vkbert;
using namespace vkbert::test;
using testing::Eq;
using testing::HasSubstr;

namespace {

constexpr uint32_t C = affine_columns;
constexpr float untouched = -77;

const Kernel& storage_kernel() {
    static const Kernel kernel = affine_kernel(shaders::test_affine_storage, BindingKind::storage);
    return kernel;
}

/// An input (R,C) and an output (R,C) in device memory.
struct Memory {
    Device& on;
    uint32_t rows;
    Buffer input, output;
    explicit Memory(uint32_t rows_, Device& on_ = device())
        : on(on_),
          rows(rows_),
          input(on, uint64_t(rows) * C * 4, MemoryRole::device),
          output(on, uint64_t(rows) * C * 4, MemoryRole::device) {
        std::vector<float> values(size_t(rows) * C);
        std::iota(values.begin(), values.end(), 1.0f);
        write(input, values);
        clear();
    }
    void write(Buffer& buffer, const std::vector<float>& values) const {
        Uploader uploader(on);
        uploader.upload({&buffer, 0, buffer.bytes()}, 0, std::as_bytes(std::span(values)));
        uploader.finish();
    }
    void clear() { write(output, std::vector<float>(size_t(rows) * C, untouched)); }
    std::vector<float> result() {
        std::vector<float> values(size_t(rows) * C);
        download(on, {&output, 0, output.bytes()}, 0, std::as_writable_bytes(std::span(values)));
        return values;
    }
    /// scale * input + shift in the first `written` rows, untouched in the others.
    std::vector<float> expected(float scale, float shift, uint32_t written) const {
        std::vector<float> values(size_t(rows) * C, untouched);
        for (size_t i = 0; i < size_t(written) * C; ++i) values[i] = scale * float(i + 1) + shift;
        return values;
    }
};

/// x0 = 1 * input + 1, x1 = 1 * x0 + 1, ...: `steps` dispatches, each after a barrier; output = input +
/// steps.
struct Chain {
    Plan plan;
    Extent rows;
    Tensor input, output;
    Chain(const Capabilities& c, uint32_t capacity, uint32_t steps, const Kernel& kernel = storage_kernel())
        : plan(c) {
        rows = plan.symbol("rows", capacity);
        input = plan.persistent("input", rows, C);
        output = plan.persistent("output", rows, C);
        Tensor from = input;
        for (uint32_t i = 0; i < steps; ++i) {
            const Tensor to = i + 1 == steps ? output : plan.temporary("x", rows, C);
            append_affine(plan, kernel, fmt::format("step {}", i), to, from, 1, 1);
            from = to;
        }
        plan.finish();
    }
    std::map<StorageId, BufferRange> bind(Memory& m) const {
        return {{input.storage, {&m.input, 0, m.input.bytes()}},
                {output.storage, {&m.output, 0, m.output.bytes()}}};
    }
};

class RecordingTest : public testing::Test {
  protected:
    void TearDown() override {
        for (const std::string& message : take_validation_messages()) ADD_FAILURE() << message;
    }
};

}  // namespace

TEST_F(RecordingTest, ReplaysWithChangingCounts) {
    const Chain chain(device().capabilities(), 9, 5);
    Memory memory(9);
    Recording recording(device(), pipelines(), chain.plan, chain.bind(memory));
    EXPECT_EQ(recording.value(chain.rows.symbol), 9u) << "the capacity until set";
    for (const uint32_t rows : {9u, 1u, 0u, 4u, 8u, 9u, 0u}) {
        memory.clear();
        recording.set(chain.rows, rows);
        recording.run();
        EXPECT_EQ(recording.value(chain.rows.symbol), rows);
        EXPECT_THAT(memory.result(), Eq(memory.expected(1, 5, rows))) << rows << " rows";
    }
}

TEST_F(RecordingTest, CountsBeyondTheCapacityAreRefused) {
    const Chain chain(device().capabilities(), 4, 1);
    Memory memory(4);
    Recording recording(device(), pipelines(), chain.plan, chain.bind(memory));
    recording.set(chain.rows, 2);
    EXPECT_THAT(refusal([&] { recording.set(chain.rows, 5); }), HasSubstr("capacity"));
    refusal([&] { recording.set(Extent(4), 1); });
    refusal([&] { recording.set(Extent(4, 7), 1); });
    recording.run();
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 1, 2)));
}

TEST_F(RecordingTest, CodeThatWasSpecializedBefore) {
    const std::vector<uint32_t> code =
        specialize(shaders::test_affine_storage.code, std::vector<uint32_t>{C / 4, 3});
    const Shader shader{"affine", code};
    const Kernel kernel = affine_kernel(shader, BindingKind::storage);
    const Chain chain(device().capabilities(), 4, 2, kernel);  // asks for shifts of 1 in vain
    Memory memory(4);
    PipelineCache own(device());
    Recording recording(device(), own, chain.plan, chain.bind(memory));
    recording.run();
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 6, 4)));
}

TEST_F(RecordingTest, EveryKindOfBinding) {
    const Kernel kernels[] = {storage_kernel(), affine_kernel(shaders::test_affine_texel, BindingKind::texel),
                              affine_kernel(shaders::test_affine_address, BindingKind::address)};
    for (const Kernel& kernel : kernels) {
        const Capabilities& c = device().capabilities();
        if (kernel.bindings[1] == BindingKind::address && !c.buffer_device_address) continue;
        if (kernel.bindings[1] == BindingKind::texel && c.texel_kernels_broken) continue;
        const Chain chain(device().capabilities(), 6, 3, kernel);
        Memory memory(6);
        Recording recording(device(), pipelines(), chain.plan, chain.bind(memory));
        recording.run();
        EXPECT_THAT(memory.result(), Eq(memory.expected(1, 3, 6))) << kernel.shader->name;
    }
}

TEST_F(RecordingTest, SlicesOfStoragesAndOffsetsOfBuffers) {
    Plan plan(device().capabilities());
    const StorageId weights = plan.persistent_storage("weights", 8 * C * 4);
    const Tensor input = Plan::tensor_at(weights, 2 * C * 4, 3, C, Type::fp32);  // rows 2 to 4
    const Tensor output = plan.persistent("output", 4, C);
    append_affine(plan, storage_kernel(), "slice", output.rows_at(1, 3), input, 2, 10);
    plan.finish();
    Memory memory(16);
    Recording recording(device(), pipelines(), plan,
                        {{weights, {&memory.input, 3 * C * 4, 8 * C * 4}},  // rows 3 to 10 of the buffer
                         {output.storage, {&memory.output, 5 * C * 4, 4 * C * 4}}});
    recording.run();
    std::vector<float> expected(16 * C, untouched);
    for (size_t i = 0; i < 3 * C; ++i) expected[6 * C + i] = 2 * float(5 * C + i + 1) + 10;
    EXPECT_THAT(memory.result(), Eq(expected));
}

TEST_F(RecordingTest, TwoRecordingsInOneProcess) {
    const Chain one(device().capabilities(), 5, 4), other(device().capabilities(), 7, 3);
    Memory a(5), b(7);
    Recording first(device(), pipelines(), one.plan, one.bind(a));
    Recording second(device(), pipelines(), other.plan, other.bind(b));
    for (int i = 0; i < 3; ++i) {
        a.clear();
        b.clear();
        first.set(one.rows, 5 - i);
        const uint64_t p = first.submit(), q = second.submit();
        EXPECT_LT(p, q);
        second.wait(q);
        EXPECT_TRUE(device().done(p));
        EXPECT_TRUE(device().done(q));
        EXPECT_THAT(a.result(), Eq(a.expected(1, 4, 5 - i)));
        EXPECT_THAT(b.result(), Eq(b.expected(1, 3, 7)));
    }
}

TEST_F(RecordingTest, SeveralSubmitsGiveTheSameBits) {
    const Chain chain(device().capabilities(), 33, 12);
    const double flops = 2.0 * C * 33;  // of one dispatch
    std::vector<float> whole;
    const std::pair<double, size_t> cuts[] = {
        {1e30, 1}, {12 * flops, 1}, {5 * flops, 3}, {flops, 12}, {1, 12}};
    for (const auto& [flops_per_submit, submits] : cuts) {
        Memory memory(33);
        Recording::Options options;
        options.flops_per_submit = flops_per_submit;
        Recording recording(device(), pipelines(), chain.plan, chain.bind(memory), options);
        EXPECT_EQ(recording.submits_per_run(), submits);
        for (int run = 0; run < 2; ++run) {
            memory.clear();
            recording.run();
            if (whole.empty()) whole = memory.result();
            EXPECT_THAT(memory.result(), Eq(whole));
        }
    }
    EXPECT_THAT(whole, Eq(Memory(33).expected(1, 12, 33)));
}

TEST_F(RecordingTest, AllocatesWhatItPlanned) {
    const Chain chain(device().capabilities(), 1000, 6);
    Memory memory(1000);
    const uint64_t before = device().allocated_bytes();
    {
        const Recording recording(device(), pipelines(), chain.plan, chain.bind(memory));
        const uint64_t taken = device().allocated_bytes() - before;
        // Drivers round each of the two allocations up; 64 KiB is the largest page among them.
        EXPECT_GE(taken, Recording::planned_bytes(chain.plan));
        EXPECT_LE(taken, Recording::planned_bytes(chain.plan) + 2 * 65536);
        EXPECT_GE(device().peak_allocated_bytes(), before + taken);
    }
    EXPECT_EQ(device().allocated_bytes(), before);
}

TEST_F(RecordingTest, MemoryLimit) {
    const Chain chain(device().capabilities(), 1000, 6);
    Memory memory(1000);
    const uint64_t before = device().allocated_bytes();
    device().set_memory_limit(before + Recording::planned_bytes(chain.plan) / 2);
    const std::string message = refusal(
        [&] { Recording(device(), pipelines(), chain.plan, chain.bind(memory)); }, ErrorCode::out_of_memory);
    EXPECT_THAT(message, HasSubstr("over the memory limit of"));
    EXPECT_EQ(device().allocated_bytes(), before) << "nothing leaks";
    device().set_memory_limit(0);
    Recording recording(device(), pipelines(), chain.plan, chain.bind(memory));
    recording.run();
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 6, 1000)));
}

TEST_F(RecordingTest, RefusesWhatIsNotBoundOrTooSmall) {
    const Chain chain(device().capabilities(), 4, 2);
    Memory memory(4);
    const uint64_t before = device().allocated_bytes();
    const auto with =
        [&](const std::function<void(std::map<StorageId, BufferRange>&, Recording::Options&)>& spoil) {
            auto bound = chain.bind(memory);
            Recording::Options options;
            spoil(bound, options);
            return refusal([&] { Recording(device(), pipelines(), chain.plan, bound, options); });
        };
    EXPECT_THAT(with([&](auto& bound, auto&) { bound.erase(chain.output.storage); }),
                HasSubstr("storage 'output' of the plan is not bound"));
    EXPECT_THAT(with([&](auto& bound, auto&) { bound[chain.input.storage].buffer = nullptr; }),
                HasSubstr("storage 'input' of the plan is not bound"));
    EXPECT_THAT(with([&](auto& bound, auto&) { bound[chain.input.storage].bytes -= 4; }),
                HasSubstr("storage 'input' needs 1024 bytes and is bound to 1020"));
    EXPECT_THAT(with([&](auto&, auto& options) {
                    options.arena = {&memory.input, 0, 256};
                }),
                HasSubstr("arena needs"));
    Plan unfinished(device().capabilities());
    EXPECT_THAT(refusal([&] { Recording(device(), pipelines(), unfinished, {}); }),
                HasSubstr("before finish()"));
    EXPECT_EQ(device().allocated_bytes(), before);
}

TEST_F(RecordingTest, UsesAnEnginesArena) {
    const Chain chain(device().capabilities(), 8, 4);
    Memory memory(8);
    Buffer engines(device(), chain.plan.arena_bytes() + 4096, MemoryRole::device);
    const uint64_t before = device().allocated_bytes();
    Recording::Options options;
    options.arena = {&engines, 4096, chain.plan.arena_bytes()};
    Recording recording(device(), pipelines(), chain.plan, chain.bind(memory), options);
    EXPECT_LT(device().allocated_bytes() - before, chain.plan.arena_bytes());
    recording.run();
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 4, 8)));
}

TEST_F(RecordingTest, APlanOfNothingRuns) {
    Plan plan(device().capabilities());
    plan.finish();
    Recording recording(device(), pipelines(), plan, {});
    recording.run();
    EXPECT_EQ(recording.submits_per_run(), 1u);
}

TEST_F(RecordingTest, ProfilesEveryDispatch) {
    const Chain chain(device().capabilities(), 100, 7);
    Memory memory(100);
    Recording::Options options;
    options.profile = true;
    Recording recording(device(), pipelines(), chain.plan, chain.bind(memory), options);
    recording.set(chain.rows, 10);
    recording.run();
    const auto times = recording.times();
    if (device().capabilities().timestamp_bits == 0) {
        EXPECT_TRUE(times.empty());
        return;
    }
    ASSERT_EQ(times.size(), 7u);
    for (size_t i = 0; i < times.size(); ++i) {
        EXPECT_EQ(times[i].dispatch, &recording.plan().dispatches()[i]);
        EXPECT_GE(times[i].seconds, 0);
        EXPECT_LT(times[i].seconds, 10);
        EXPECT_EQ(times[i].flops, 10 * 2.0 * C) << "of the rows of this run";
        EXPECT_EQ(times[i].bytes, 10 * 8.0 * C);
    }
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 7, 10)));
    Recording plain(device(), pipelines(), chain.plan, chain.bind(memory));
    plain.run();
    EXPECT_TRUE(plain.times().empty());
}

TEST_F(RecordingTest, RecordsRangesIntoAnEnginesCommandBuffers) {
    const Chain chain(device().capabilities(), 8, 6);
    Memory memory(8);
    Recording recording(device(), pipelines(), chain.plan, chain.bind(memory));
    const auto& f = device().functions();
    const VkCommandPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, nullptr, 0,
                                            device().queue_family()};
    VkCommandPool pool = VK_NULL_HANDLE;
    ASSERT_EQ(f.vkCreateCommandPool(device().handle(), &pool_info, nullptr, &pool), VK_SUCCESS);
    const VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, nullptr, pool,
                                               VK_COMMAND_BUFFER_LEVEL_PRIMARY, 3};
    std::vector<VkCommandBuffer> frames(3);
    ASSERT_EQ(f.vkAllocateCommandBuffers(device().handle(), &allocate, frames.data()), VK_SUCCESS);
    const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, nullptr, 0, nullptr};
    const size_t first[] = {0, 1, 4, 6};
    for (size_t frame = 0; frame < 3; ++frame) {
        ASSERT_EQ(f.vkBeginCommandBuffer(frames[frame], &begin), VK_SUCCESS);
        recording.record(frames[frame], first[frame], first[frame + 1] - first[frame]);
        ASSERT_EQ(f.vkEndCommandBuffer(frames[frame]), VK_SUCCESS);
    }
    EXPECT_THAT(refusal([&] { recording.record(frames[0], 5, 2); }), HasSubstr("past the end"));
    uint64_t ticket = 0;
    for (VkCommandBuffer frame : frames) ticket = device().submit({frame});
    device().wait(ticket);
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 6, 8)));
    f.vkDestroyCommandPool(device().handle(), pool, nullptr);
}

namespace {

/// An engine that made a device without asking us: only what it enables may be used.
struct Engine {
    VkDevice handle = VK_NULL_HANDLE;
    VkQueue queue = VK_NULL_HANDLE;
    DeviceFunctions functions;
    VkPhysicalDeviceBufferDeviceAddressFeatures address{};
    VkPhysicalDeviceFeatures2 features{};
    int locks = 0, unlocks = 0;
    explicit Engine(bool with_addresses) {
        address.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
        address.bufferDeviceAddress = VK_TRUE;
        features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
        if (with_addresses) features.pNext = &address;
        const float priority = 1;
        VkDeviceQueueCreateInfo queues{
            VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, nullptr, 0, device().queue_family(), 1, &priority};
        VkDeviceCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
        info.pNext = &features;
        info.queueCreateInfoCount = 1;
        info.pQueueCreateInfos = &queues;
        EXPECT_EQ(instance().functions().vkCreateDevice(physical_device(), &info, nullptr, &handle),
                  VK_SUCCESS);
        functions.load(instance().functions().vkGetDeviceProcAddr, handle);
        functions.vkGetDeviceQueue(handle, device().queue_family(), 0, &queue);
    }
    ~Engine() { functions.vkDestroyDevice(handle, nullptr); }
    Engine(const Engine&) = delete;
    AdoptedDevice lend() {
        AdoptedDevice a;
        a.get_instance_proc_addr = instance().functions().vkGetInstanceProcAddr;
        a.instance = instance().handle();
        a.physical_device = physical_device();
        a.device = handle;
        a.queue = queue;
        a.queue_family = device().queue_family();
        a.enabled_features = &features;
        a.lock_queue = [this] { ++locks; };
        a.unlock_queue = [this] { ++unlocks; };
        return a;
    }
};

}  // namespace

TEST_F(RecordingTest, RunsOnAnAdoptedDevice) {
    const bool possible = device().capabilities().buffer_device_address &&
                          device().capabilities().api_version >= VK_API_VERSION_1_2;
    for (const bool with_addresses : {false, true}) {
        if (with_addresses && !possible) continue;
        Engine engine(with_addresses);
        {
            const auto adopted = Device::adopt(engine.lend());
            EXPECT_EQ(adopted->capabilities().buffer_device_address, with_addresses);
            EXPECT_FALSE(adopted->capabilities().cooperative_matrix);
            PipelineCache cache(*adopted);
            const Chain chain(adopted->capabilities(), 8, 3);
            Memory memory(8, *adopted);
            EXPECT_EQ(memory.input.address() != 0, with_addresses);
            const int before = engine.locks;
            Recording recording(*adopted, cache, chain.plan, chain.bind(memory));
            recording.run();
            EXPECT_EQ(engine.locks, before + 1);
            EXPECT_EQ(engine.unlocks, engine.locks);
            EXPECT_THAT(memory.result(), Eq(memory.expected(1, 3, 8)));
        }
        EXPECT_EQ(engine.functions.vkDeviceWaitIdle(engine.handle), VK_SUCCESS) << "still the engine's";
    }
}

TEST_F(RecordingTest, AdoptingNeedsEverything) {
    Engine engine(false);
    const std::function<void(AdoptedDevice&)> lacks[] = {
        [](AdoptedDevice& a) { a.get_instance_proc_addr = nullptr; },
        [](AdoptedDevice& a) { a.instance = VK_NULL_HANDLE; },
        [](AdoptedDevice& a) { a.physical_device = VK_NULL_HANDLE; },
        [](AdoptedDevice& a) { a.device = VK_NULL_HANDLE; },
        [](AdoptedDevice& a) { a.queue = VK_NULL_HANDLE; },
    };
    for (const auto& take_away : lacks) {
        AdoptedDevice a = engine.lend();
        take_away(a);
        EXPECT_THAT(refusal([&] { Device::adopt(a); }), HasSubstr("adopting a device needs"));
    }
}

TEST_F(RecordingTest, AnEnginesBufferIsBoundAndLeftAlone) {
    const Chain chain(device().capabilities(), 8, 2);
    Memory memory(8);
    {
        Buffer borrowed(device(), memory.output.handle(), memory.output.bytes(), nullptr);
        auto bound = chain.bind(memory);
        bound[chain.output.storage] = {&borrowed, 0, borrowed.bytes()};
        Recording recording(device(), pipelines(), chain.plan, bound);
        recording.run();
    }
    EXPECT_THAT(memory.result(), Eq(memory.expected(1, 2, 8)));
}
