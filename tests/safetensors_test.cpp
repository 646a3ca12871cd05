// Safetensors files: real ones, written ones, and every way in which one can be wrong.
#include "bert/safetensors.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "bert/checkpoint.hpp"
#include "bert/half.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using test::expect_error;
using test::TemporaryFolder;

std::string little_endian(uint64_t value) {
    std::string text(8, '\0');
    std::memcpy(text.data(), &value, 8);
    return text;
}
std::string file_of(const std::string& header, size_t data_bytes) {
    return little_endian(header.size()) + header + std::string(data_bytes, '\1');
}
std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

TEST(Safetensors, ReadsWhatItWrites) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "model.safetensors";
    std::vector<float> values(2 * 3 + 5);
    std::iota(values.begin(), values.end(), 1.0f);
    SafetensorsWriter writer(path,
                             {{.name = "a \"quoted\" name", .shape = {2, 3}}, {.name = "b", .shape = {5}}});
    EXPECT_FALSE(std::filesystem::exists(path));
    writer.write(std::span<const float>(values).first(4));
    expect_error(ErrorCode::invalid_argument, "promises", [&] { writer.finish(); });
    writer.write(std::span<const float>(values).subspan(4));
    writer.finish();

    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    ASSERT_EQ(checkpoint.tensors().size(), 2u);
    const StoredTensor* a = checkpoint.find("a \"quoted\" name");
    const StoredTensor* b = checkpoint.find("b");
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->shape, (std::vector<uint64_t>{2, 3}));
    EXPECT_EQ(a->offset % 8, 0u);
    std::vector<float> out(4);
    checkpoint.read(*a, 2, out);
    EXPECT_EQ(out, (std::vector<float>{3, 4, 5, 6}));
    checkpoint.read(*b, 1, out);
    EXPECT_EQ(out, (std::vector<float>{8, 9, 10, 11}));
    expect_error(ErrorCode::invalid_argument, "'b' has 5 elements", [&] { checkpoint.read(*b, 2, out); });
    EXPECT_EQ(checkpoint.find("c"), nullptr);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Safetensors, UnfinishedFilesLeaveNothing) {
    const TemporaryFolder folder;
    { const SafetensorsWriter writer(folder.path() / "model.safetensors", {{.name = "a", .shape = {2}}}); }
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
    expect_error(ErrorCode::failed, "absent/model.safetensors",
                 [&] { SafetensorsWriter(folder.path() / "absent" / "model.safetensors", {}); });
}

TEST(Safetensors, ConvertsEveryFloatingType) {
    const float wanted[] = {0.0f, -1.5f, 0.25f, 2048.0f};
    std::string header = R"({"d":{"dtype":"F64","shape":[4],"data_offsets":[0,32]},)"
                         R"("f":{"dtype":"F32","shape":[4],"data_offsets":[32,48]},)"
                         R"("h":{"dtype":"F16","shape":[4],"data_offsets":[48,56]},)"
                         R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[56,64]},)"
                         R"("i":{"dtype":"I64","shape":[],"data_offsets":[64,72]}})";
    header += std::string((8 - header.size() % 8) % 8 + 1, ' ');  // data at an odd address
    std::string file = file_of(header, 72);
    char* data = file.data() + 8 + header.size();
    for (int i = 0; i < 4; ++i) {
        const double wide = wanted[i];
        const uint16_t half = fp32_to_fp16(wanted[i]),
                       brain = uint16_t(std::bit_cast<uint32_t>(wanted[i]) >> 16);
        std::memcpy(data + 8 * i, &wide, 8);
        std::memcpy(data + 32 + 4 * i, &wanted[i], 4);
        std::memcpy(data + 48 + 2 * i, &half, 2);
        std::memcpy(data + 56 + 2 * i, &brain, 2);
    }
    const Checkpoint checkpoint = Checkpoint::from_memory(bytes_of(file), "memory");
    for (const char* name : {"d", "f", "h", "b"}) {
        float out[4];
        uint16_t halves[4];
        checkpoint.read(*checkpoint.find(name), 0, out);
        checkpoint.read_fp16(*checkpoint.find(name), 0, halves);
        for (int i = 0; i < 4; ++i) {
            EXPECT_EQ(out[i], wanted[i]) << name;
            EXPECT_EQ(halves[i], fp32_to_fp16(wanted[i])) << name;
        }
    }
    float scalar[1];
    expect_error(ErrorCode::unsupported, "memory: tensor 'i' is I64",
                 [&] { checkpoint.read(*checkpoint.find("i"), 0, scalar); });
}

TEST(Half, EveryFp16ValueSurvivesTheWayThroughFp32) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const uint16_t half = uint16_t(bits);
        const uint32_t exponent = (bits >> 10) & 31, mantissa = bits & 0x3ff;
        const float sign = bits & 0x8000 ? -1.0f : 1.0f;
        const float value = fp16_to_fp32(half);
        if (exponent == 31 && mantissa) {
            ASSERT_TRUE(std::isnan(value)) << bits;
            ASSERT_EQ(fp32_to_fp16(value) & 0x7fff, 0x7e00) << bits;
            continue;
        }
        const float wanted = exponent == 31  ? std::numeric_limits<float>::infinity()
                             : exponent == 0 ? std::ldexp(float(mantissa), -24)
                                             : std::ldexp(float(1024 + mantissa), int(exponent) - 25);
        ASSERT_EQ(value, sign * wanted) << bits;
        ASSERT_EQ(fp32_to_fp16(value), half) << bits;
    }
}

TEST(Half, RoundsToNearestEven) {
    // Between each pair of neighbours: the middle goes to the even one, anything beyond it to the nearer one.
    for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
        const float low = fp16_to_fp32(uint16_t(bits)), high = fp16_to_fp32(uint16_t(bits + 1));
        const float middle = low + (high - low) / 2;
        ASSERT_EQ(fp32_to_fp16(middle), bits % 2 ? bits + 1 : bits);
        ASSERT_EQ(fp32_to_fp16(std::nextafter(middle, low)), bits);
        ASSERT_EQ(fp32_to_fp16(-std::nextafter(middle, high)), (bits + 1) | 0x8000);
    }
    EXPECT_EQ(fp32_to_fp16(65519.996f), 0x7bff);
    EXPECT_EQ(fp32_to_fp16(65520.0f), 0x7c00);
    EXPECT_EQ(fp32_to_fp16(1e30f), 0x7c00);
    EXPECT_EQ(fp32_to_fp16(1e-30f), 0);
    EXPECT_EQ(fp32_to_fp16(std::numeric_limits<float>::denorm_min()), 0);
}

// A tensor "a" of two F32 at [0,8); `entry` replaces its header entry, `more` follows it.
std::string entry_file(const std::string& entry, const std::string& more = "", size_t data = 8) {
    return file_of("{\"a\":" + entry + more + "}", data);
}

TEST(Safetensors, RefusesWhatIsWrong) {
    const std::string good = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
    ASSERT_NO_THROW(parse_safetensors(bytes_of(entry_file(good)), "f"));
    ASSERT_NO_THROW(parse_safetensors(bytes_of(file_of("{}", 0)), "f"));
    const struct {
        const char* message;
        std::string file;
    } cases[] = {
        {"0 bytes are too few", ""},
        {"7 bytes are too few", "1234567"},
        {"claims a header of", little_endian(1) + ""},
        {"claims a header of", little_endian(~0ull) + "{}"},
        {"claims a header of 100000001", little_endian(100'000'001) + "{}"},
        {"claims a header of", std::string("version https://git-lfs.github.com/spec/v1\n")},
        {"does not begin with", little_endian(0)},
        {"does not begin with", file_of("[]", 0)},
        {"does not begin with", file_of(" {}", 0)},
        {"not valid JSON", file_of("{", 0)},
        {"not valid JSON", file_of("{}x", 0)},
        {"not valid JSON", file_of("{\"\xff\":1}", 0)},
        {"nested deeper", file_of("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}", 0)},
        {"nested deeper", file_of("{\"a\":" + std::string(100000, '['), 0)},
        {"key \"a\" is given twice", entry_file(good, ",\"a\":" + good)},
        {"key \"shape\" is given twice",
         entry_file(R"({"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]})")},
        {"__metadata__", entry_file(good, R"(,"__metadata__":{"a":1})")},
        {"__metadata__", entry_file(good, R"(,"__metadata__":[])")},
        {"tensor \"a\": its header entry is not an object", entry_file("3")},
        {"lacks", entry_file(R"({"dtype":"F32","shape":[2]})")},
        {"unknown field", entry_file(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":0})")},
        {"unknown dtype \"F33\"", entry_file(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})")},
        {"unknown dtype 32", entry_file(R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})")},
        {"span 8 bytes, but [2] of F64 needs 16",
         entry_file(R"({"dtype":"F64","shape":[2],"data_offsets":[0,8]})")},
        {"span 8 bytes, but [3] of F32 needs 12",
         entry_file(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})")},
        {"shape is not an array", entry_file(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})")},
        {"not a non-negative integer: -2",
         entry_file(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})")},
        {"not a non-negative integer: 2.0",
         entry_file(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})")},
        {"not a non-negative integer", entry_file(R"({"dtype":"F32","shape":[1e99],"data_offsets":[0,8]})")},
        {"shape overflows",
         entry_file(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})")},
        {"shape overflows",
         entry_file(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})")},
        {"ascending pair", entry_file(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})")},
        {"ascending pair", entry_file(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})")},
        {"two numbers", entry_file(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4,8]})")},
        {"truncated: its tensors need 8 bytes, 7 follow", entry_file(good, "", 7)},
        {"too long: its tensors need 8 bytes, 9 follow", entry_file(good, "", 9)},
        {"truncated",
         entry_file(
             R"({"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]})")},
        {"leaving a gap", entry_file(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})", "", 12)},
        {"inside the tensor before",
         entry_file(good, R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]})", 12)},
        {"inside the tensor before", entry_file(good, ",\"b\":" + good)},
        {"leaving a gap", entry_file(good, R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]})", 16)},
    };
    const TemporaryFolder folder;
    for (const auto& bad : cases) {
        SCOPED_TRACE(bad.file.substr(0, 200));
        expect_error(ErrorCode::invalid_input, bad.message,
                     [&] { parse_safetensors(bytes_of(bad.file), "name"); });
        const auto path = folder.write("model.safetensors", bad.file);
        expect_error(ErrorCode::invalid_input, path.string() + ": ", [&] { Checkpoint::open(path); });
    }
}

TEST(Safetensors, RefusesWhatIsNoReadableFile) {
    const TemporaryFolder folder;
    const auto refuse = [&](const std::filesystem::path& path, const std::string& part) {
        expect_error(ErrorCode::invalid_input, path.string() + ": " + part, [&] { Checkpoint::open(path); });
    };
    refuse(folder.path() / "absent.safetensors", "No such file");
    refuse(folder.path(), "has neither model.safetensors nor pytorch_model.bin");
    refuse(folder.write("empty.safetensors", ""), "the file is empty");
    std::filesystem::create_directory(folder.path() / "model.safetensors");
    expect_error(ErrorCode::invalid_input, "model.safetensors: ", [&] { Checkpoint::open(folder.path()); });
    refuse("/dev/null", "is not a regular file");
    const auto sparse = folder.write("sparse.safetensors", "");
    std::filesystem::resize_file(sparse, uint64_t(1) << 40);
    refuse(sparse, "not a safetensors file");
    const auto dangling = folder.path() / "dangling.safetensors";
    std::filesystem::create_symlink("nowhere", dangling);
    refuse(dangling, "No such file");
    if (::geteuid() != 0) {
        const auto secret = folder.write("secret.safetensors", "12345678{}");
        std::filesystem::permissions(secret, std::filesystem::perms::none);
        refuse(secret, "Permission denied");
    }
}

// Whatever a changed file is taken for, reading all of it stays inside it.
void read_everything(const Checkpoint& checkpoint) {
    for (const StoredTensor& tensor : checkpoint.tensors()) {
        std::vector<float> out(size_t(tensor.elements()));
        if (floating(tensor.type)) checkpoint.read(tensor, 0, out);
    }
}

TEST(Safetensors, EveryFlippedBitOfTheHeaderAndEveryLengthIsRefusedOrReadSafely) {
    const std::string good = file_of(
        R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
        R"("b":{"dtype":"F16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"I64","shape":[1],"data_offsets":[32,40]}})",
        40);
    size_t refused = 0;
    const auto probe = [&](const std::string& file) {
        try {
            read_everything(Checkpoint::from_memory(bytes_of(file), "flipped"));
        } catch (const Error& error) {
            ++refused;
            ASSERT_EQ(int(error.code()), int(ErrorCode::invalid_input)) << error.what();
            ASSERT_EQ(std::string(error.what()).rfind("flipped: ", 0), 0u) << error.what();
        }
    };
    const size_t header = good.size() - 40;
    for (size_t bit = 0; bit < 8 * header; ++bit) {
        std::string file = good;
        file[bit / 8] = char(file[bit / 8] ^ (1 << bit % 8));
        probe(file);
    }
    EXPECT_GT(refused, 8 * header / 2);
    refused = 0;
    for (size_t length = 0; length < good.size(); ++length) probe(good.substr(0, length));
    EXPECT_EQ(refused, good.size());
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
        std::string file = good;
        for (int n = 0; n < 3; ++n) file[random() % header] = char(random());
        probe(file);
    }
}

TEST(Safetensors, ReadsShards) {
    const TemporaryFolder folder;
    const auto shard = [](const std::string& name) {
        return file_of("{\"" + name + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
    };
    folder.write("x-1.safetensors", shard("a"));
    folder.write("x-2.safetensors", shard("b"));
    folder.write("outside.safetensors", shard("c"));
    const auto index = [&](const std::string& map) {
        return folder.write("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":" + map + "}");
    };
    const auto path = index(R"({"a":"x-1.safetensors","b":"x-2.safetensors"})");
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    EXPECT_EQ(checkpoint.tensors().size(), 2u);
    EXPECT_EQ(checkpoint.file_of(*checkpoint.find("b")), (folder.path() / "x-2.safetensors").string());
    const struct {
        const char *map, *message;
    } cases[] = {
        {"{}", "weight_map is not an object with entries"},
        {"[]", "weight_map is not an object with entries"},
        {R"({"a":"../x/x-1.safetensors"})", "is not a file name"},
        {R"({"a":"/etc/passwd"})", "is not a file name"},
        {R"({"a":".."})", "is not a file name"},
        {R"({"a":""})", "is not a file name"},
        {R"({"a":7})", "is not a file name"},
        {R"({"a":"x-1.safetensors\u0000"})", "is not a file name"},
        {R"({"a":"absent.safetensors"})", "absent.safetensors: No such file"},
        {R"({"a":"x-1.safetensors","b":"x-1.safetensors"})", "tensor \"b\" is not in x-1.safetensors"},
        {R"({"a":"x-2.safetensors","b":"x-1.safetensors"})", "tensor \"a\" is not in x-2.safetensors"},
    };
    for (const auto& bad : cases) {
        index(bad.map);
        expect_error(ErrorCode::invalid_input, bad.message, [&] { Checkpoint::open(path); });
    }
    folder.write("x-2.safetensors", shard("a"));
    index(R"({"a":"x-1.safetensors","b":"x-2.safetensors"})");
    expect_error(ErrorCode::invalid_input, "tensor 'a' is in another file too",
                 [&] { Checkpoint::open(path); });
    folder.write("model.safetensors.index.json", "{\"weight_map\":{\"a\":");
    expect_error(ErrorCode::invalid_input, "model.safetensors.index.json: not valid JSON",
                 [&] { Checkpoint::open(path); });
}

TEST(Safetensors, ReadingALargeFileKeepsLittleOfItInMemory) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "model.safetensors";
    constexpr uint64_t elements = uint64_t(48) << 20;  // 192 MiB
    {
        const std::vector<float> block(size_t(1) << 20, 0.5f);
        SafetensorsWriter writer(path, {{.name = "a", .shape = {elements}}});
        for (uint64_t done = 0; done < elements; done += block.size())
            writer.write(std::span<const float>(block));
        writer.finish();
    }
    const auto resident = [] {
        std::ifstream statm("/proc/self/statm");
        uint64_t size = 0, pages = 0;
        statm >> size >> pages;
        return pages * uint64_t(::sysconf(_SC_PAGESIZE));
    };
    const Checkpoint checkpoint = Checkpoint::open(path);
    std::vector<uint16_t> out(elements / 8);
    std::fill(out.begin(), out.end(), uint16_t(1));
    const uint64_t before = resident();
    if (before == 0) GTEST_SKIP() << "no /proc/self/statm";
    for (uint64_t done = 0; done < elements; done += out.size()) {
        checkpoint.read_fp16(*checkpoint.find("a"), done, out);
        ASSERT_EQ(out.back(), fp32_to_fp16(0.5f));
        EXPECT_LT(resident(), before + (uint64_t(16) << 20));
    }
}

TEST(Safetensors, ReadsRealFiles) {
    const auto folder = test::test_data() / "weights" / "bert-tiny-sst2-encoder";
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no VKBERT_TEST_DATA";
    const Checkpoint checkpoint = Checkpoint::open(folder);
    const StoredTensor* classifier = checkpoint.find("classifier.weight");
    ASSERT_TRUE(classifier);
    EXPECT_EQ(classifier->shape, (std::vector<uint64_t>{2, 128}));
    EXPECT_EQ(checkpoint.file_bytes(), 1657672u);
    read_everything(checkpoint);
}

}  // namespace
}  // namespace vkbert
