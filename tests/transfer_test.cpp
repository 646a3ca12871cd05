// Memory on a device: buffers, arenas, and copies through staging where the host cannot see the memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "runtime/buffer.hpp"
#include "tests/refusal.hpp"
#include "tests/test_device.hpp"

using namespace vkbert;
using namespace vkbert::test;
using testing::HasSubstr;

namespace {

std::vector<std::byte> noise(size_t bytes, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> values(bytes);
    for (std::byte& value : values) value = static_cast<std::byte>(random());
    return values;
}

class TransferTest : public testing::Test {
  protected:
    void TearDown() override {
        for (const std::string& message : take_validation_messages()) ADD_FAILURE() << message;
    }
    std::vector<std::byte> contents(Buffer& buffer) {
        std::vector<std::byte> bytes(buffer.bytes());
        download(device(), {&buffer, 0, buffer.bytes()}, 0, bytes);
        return bytes;
    }
    /// Uploads noise into the middle of a buffer in three pieces, seen by the host or not; nothing else may
    /// change.
    void round_trip(bool hidden, uint64_t slot_bytes, uint64_t bytes) {
        Buffer memory(device(), bytes + 300, MemoryRole::device);
        std::vector<std::byte> expected = noise(memory.bytes(), 1);
        Uploader whole(device());
        whole.upload({&memory, 0, memory.bytes()}, 0, expected);
        whole.finish();
        Buffer seen(device(), memory.handle(), memory.bytes(), hidden ? nullptr : memory.mapped());
        const BufferRange target{&seen, 100, bytes + 50};
        const std::vector<std::byte> values = noise(bytes, 2);
        Uploader uploader(device(), slot_bytes);
        const size_t cuts[] = {0, bytes / 3, bytes / 2, bytes};
        for (size_t i = 0; i < 3; ++i)
            uploader.upload(target, 7 + cuts[i], std::span(values).subspan(cuts[i], cuts[i + 1] - cuts[i]));
        uploader.finish();
        std::copy(values.begin(), values.end(), expected.begin() + 107);
        EXPECT_TRUE(contents(seen) == expected) << "hidden " << hidden << " slot " << slot_bytes;
        EXPECT_TRUE(contents(memory) == expected);
        std::vector<std::byte> part(bytes);
        download(device(), target, 7, part);
        EXPECT_TRUE(part == values);
    }
};

}  // namespace

TEST_F(TransferTest, RoundTripsThroughStagingAndWithout) {
    const uint64_t before = device().allocated_bytes();
    for (const bool hidden : {false, true})
        for (const auto& [slot, bytes] :
             {std::pair<uint64_t, uint64_t>{64, 1000}, {1000, 1000}, {1 << 20, 5001}})
            round_trip(hidden, slot, bytes);
    EXPECT_EQ(device().allocated_bytes(), before);
}

TEST_F(TransferTest, DownloadsMoreThanOneSlot) {
    round_trip(true, 8 << 20, (16 << 20) + 12345);
}

TEST_F(TransferTest, PastTheEndIsRefused) {
    Buffer memory(device(), 1024, MemoryRole::device);
    const BufferRange range{&memory, 100, 200};
    std::vector<std::byte> bytes(101);
    Uploader uploader(device(), 64);
    EXPECT_THAT(refusal([&] { uploader.upload(range, 100, bytes); }), HasSubstr("past the end"));
    EXPECT_THAT(refusal([&] { download(device(), range, 100, bytes); }), HasSubstr("past the end"));
    Buffer hidden(device(), memory.handle(), memory.bytes(), nullptr);
    EXPECT_THAT(refusal([&] {
                    uploader.begin({&hidden, 0, 1024}, 0, 65);
                }),
                HasSubstr("upload of 65 bytes through slots of 64"));
}

TEST_F(TransferTest, BuffersBeyondTheDeviceAreRefused) {
    const uint64_t before = device().allocated_bytes();
    const uint64_t most = device().capabilities().max_buffer_size;
    if (most < UINT64_MAX) {
        EXPECT_THAT(
            refusal([&] { Buffer(device(), most + 1, MemoryRole::device); }, ErrorCode::out_of_memory),
            HasSubstr("smaller batches"));
    }
    device().set_memory_limit(before + 1000);
    EXPECT_THAT(refusal([&] { Buffer(device(), 1 << 20, MemoryRole::upload); }, ErrorCode::out_of_memory),
                HasSubstr("over the memory limit"));
    device().set_memory_limit(0);
    EXPECT_EQ(device().allocated_bytes(), before);
}

TEST_F(TransferTest, BuffersMove) {
    const uint64_t before = device().allocated_bytes();
    {
        Buffer one(device(), 4096, MemoryRole::upload);
        const VkBuffer handle = one.handle();
        ASSERT_NE(one.mapped(), nullptr);
        Buffer other(std::move(one));
        EXPECT_EQ(other.handle(), handle);
        one = Buffer(device(), 64, MemoryRole::readback);
        one = std::move(other);
        EXPECT_EQ(one.handle(), handle);
        EXPECT_EQ(one.bytes(), 4096u);
    }
    EXPECT_EQ(device().allocated_bytes(), before);
}

TEST_F(TransferTest, ArenasPlaceRangesInFewBlocks) {
    Capabilities small;
    small.max_allocation = small.max_buffer_size = 1 << 20;
    Arena planned(MemoryRole::device);
    for (int i = 0; i < 5; ++i) planned.reserve(300 << 10);
    constexpr uint64_t slack = 256 << 10;
    EXPECT_EQ(planned.planned_bytes(small), 3 * slack + 5 * (300 << 10)) << "two ranges a block";

    Arena arena(MemoryRole::device);
    const uint64_t sizes[] = {1, 256, 257, 100000};
    for (const uint64_t bytes : sizes) arena.reserve(bytes);
    const uint64_t before = device().allocated_bytes();
    arena.commit(device());
    EXPECT_GE(device().allocated_bytes() - before, arena.planned_bytes(device().capabilities()));
    EXPECT_LE(device().allocated_bytes() - before, arena.planned_bytes(device().capabilities()) + 65536);
    ASSERT_EQ(arena.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(arena.range(i).bytes, sizes[i]);
        EXPECT_EQ(arena.range(i).offset % 256, 0u);
        EXPECT_LE(arena.range(i).offset + sizes[i] + slack, arena.range(i).buffer->bytes());
        if (i > 0) {
            EXPECT_GE(arena.range(i).offset, arena.range(i - 1).offset + sizes[i - 1]);
        }
    }
}
