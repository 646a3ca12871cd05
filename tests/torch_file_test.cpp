// pytorch_model.bin: a real one, written ones with every kind of tensor, and what must be refused.
#include "bert/torch_file.hpp"

#include <gtest/gtest.h>

#include <random>

#include "bert/checkpoint.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using std::string_literals::operator""s;
using test::expect_error;

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

template <typename T>
std::string little(T value) {
    std::string text(sizeof(T), '\0');
    std::memcpy(text.data(), &value, sizeof(T));
    return text;
}

using Entries = std::vector<std::pair<std::string, std::string>>;

// An archive of stored entries, each with data at a multiple of 64 as torch.save has them; with `zip64`, its
// sizes and offsets stand in the 64-bit fields.
std::string zip_of(const Entries& entries, bool zip64 = false) {
    std::string file, directory;
    const auto small = [&](uint64_t value) { return little(zip64 ? 0xffffffffu : uint32_t(value)); };
    for (const auto& [name, data] : entries) {
        const uint64_t local = file.size();
        const size_t padding = 64 - (local + 30 + name.size()) % 64;
        const std::string common =
            std::string("\0\0\0\0\0\0\0\0", 8) + little(uint32_t(0));  // method, time, date, CRC
        file += "PK\3\4"s + little(uint16_t(0)) + little(uint16_t(0)) + common.substr(2) +
                little(uint32_t(data.size())) + little(uint32_t(data.size())) +
                little(uint16_t(name.size())) + little(uint16_t(padding)) + name + std::string(padding, 'Z') +
                data;
        const std::string extra = zip64 ? little(uint16_t(1)) + little(uint16_t(24)) +
                                              little(uint64_t(data.size())) + little(uint64_t(data.size())) +
                                              little(local)
                                        : "";
        directory += "PK\1\2"s + little(uint32_t(0)) + little(uint16_t(0)) + common.substr(2) +
                     small(data.size()) + small(data.size()) + little(uint16_t(name.size())) +
                     little(uint16_t(extra.size())) + std::string(10, '\0') + small(local) + name + extra;
    }
    const uint64_t at = file.size(), count = entries.size();
    file += directory;
    if (zip64) {
        const uint64_t end64 = file.size();
        file += "PK\6\6"s + little(uint64_t(44)) + std::string(12, '\0') + little(count) + little(count) +
                little(uint64_t(directory.size())) + little(at);
        file += "PK\6\7"s + little(uint32_t(0)) + little(end64) + little(uint32_t(1));
    }
    return file + "PK\5\6" + std::string(4, '\0') + little(uint16_t(count)) + little(uint16_t(count)) +
           small(directory.size()) + small(at) + little(uint16_t(0));
}

// Pieces of pickles, in protocol 2 as torch.save writes it.
std::string text(const std::string& value) {
    return "X"s + little(uint32_t(value.size())) + value;
}
std::string integer(int32_t value) {
    return "J"s + little(value);
}
std::string global(const std::string& module, const std::string& name) {
    return "c"s + module + "\n" + name + "\n";
}
std::string tuple(const std::vector<std::string>& items) {
    std::string pickle = "(";
    for (const std::string& item : items) pickle += item;
    return pickle + "t";
}
std::string numbers(const std::vector<int32_t>& values) {
    std::vector<std::string> items;
    for (const int32_t value : values) items.push_back(integer(value));
    return tuple(items);
}
std::string storage(const std::string& type, const std::string& key, int32_t elements) {
    return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(elements)}) + "Q";
}
std::string tensor(const std::string& stored, int32_t first, const std::vector<int32_t>& shape,
                   const std::vector<int32_t>& strides) {
    return global("torch._utils", "_rebuild_tensor_v2") +
           tuple({stored, integer(first), numbers(shape), numbers(strides), "\x89",
                  global("collections", "OrderedDict") + ")R"}) +
           "R";
}
std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
    std::string pickle = std::string("\x80\x02", 2) + global("collections", "OrderedDict") + ")R(";
    for (const auto& [key, value] : items) pickle += text(key) + value;
    return pickle + "u.";
}

// 12 floats 0 .. 11 as storage "0".
std::string twelve() {
    std::string data;
    for (int i = 0; i < 12; ++i) data += little(float(i));
    return data;
}
std::string file_of(const std::string& pickle, bool zip64 = false) {
    return zip_of(
        {{"archive/data.pkl", pickle}, {"archive/byteorder", "little"}, {"archive/data/0", twelve()}}, zip64);
}
std::string file_of_one(const std::string& value) {
    return file_of(dict({{"a", value}}));
}

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
    const StoredTensor* found = checkpoint.find(name);
    if (!found) return {};
    std::vector<float> out(size_t(found->elements()));
    checkpoint.read(*found, 0, out);
    return out;
}

TEST(TorchFile, ReadsEveryKindOfTensor) {
    const std::string whole = storage("FloatStorage", "0", 12);
    const std::string pickle = dict({
        {"matrix", tensor(whole, 0, {3, 4}, {4, 1})},
        {"transposed", tensor(whole, 0, {4, 3}, {1, 4})},
        {"slice", tensor(whole, 5, {2}, {1})},
        {"every other", tensor(whole, 1, {2, 3}, {6, 2})},
        {"scalar", tensor(whole, 7, {}, {})},
        {"empty", tensor(whole, 12, {0, 5}, {5, 1})},
        {"parameter",
         global("torch._utils", "_rebuild_parameter") +
             tuple({tensor(whole, 0, {2}, {1}), "\x88", global("collections", "OrderedDict") + ")R"}) + "R"},
        {"number", integer(3)},
        {"text", text("x")},
        {"nothing", "N"},
    });
    for (const bool zip64 : {false, true}) {
        const test::TemporaryFolder folder;
        folder.write("pytorch_model.bin", file_of(pickle, zip64));
        const Checkpoint checkpoint = Checkpoint::open(folder.path());
        EXPECT_EQ(checkpoint.tensors().size(), 7u);
        EXPECT_EQ(values(checkpoint, "matrix"), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
        EXPECT_TRUE(checkpoint.find("matrix")->strides.empty());
        EXPECT_EQ(values(checkpoint, "transposed"),
                  (std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
        EXPECT_EQ(values(checkpoint, "slice"), (std::vector<float>{5, 6}));
        EXPECT_EQ(values(checkpoint, "every other"), (std::vector<float>{1, 3, 5, 7, 9, 11}));
        EXPECT_EQ(values(checkpoint, "scalar"), std::vector<float>{7});
        EXPECT_EQ(values(checkpoint, "parameter"), (std::vector<float>{0, 1}));
        EXPECT_TRUE(values(checkpoint, "empty").empty());
        std::vector<float> part(4);
        checkpoint.read(*checkpoint.find("transposed"), 2, part);
        EXPECT_EQ(part, (std::vector<float>{8, 1, 5, 9}));
        for (const StoredTensor& found : checkpoint.tensors()) checkpoint.drop(found);
        EXPECT_EQ(values(checkpoint, "transposed")[1], 4.0f);
    }
}

TEST(TorchFile, RefusesPicklesThatDoMore) {
    const std::string whole = storage("FloatStorage", "0", 12);
    const struct {
        const char* message;
        std::string pickle;
    } cases[] = {
        {"global 'posix system'", global("posix", "system") + tuple({text("true")}) + "R."},
        {"global 'builtins eval'", text("builtins") + text("eval") + "\x93."},
        {"global 'torch._utils _rebuild_sparse_tensor'",
         global("torch._utils", "_rebuild_sparse_tensor") + "."},
        {"global 'a?b c'", global("a\rb", "c") + "."},
        {"opcode 0x69 is none", "(i__builtin__\neval\n."},
        {"opcode 0x81 is none", global("collections", "OrderedDict") + ")\x81."},
        {"opcode 0x6f is none", "("s + global("collections", "OrderedDict") + "o."},
        {"opcode 0x49 is none", "I1\n."},
        {"protocol 9", "\x80\x09."},
        {"it ends too early", ""},
        {"it ends too early", "X"},
        {"it ends too early", "X\xff\xff\xff\xff"},
        {"it ends too early", "ctorch"},
        {"takes what is not there", "."},
        {"takes what is not there", "\x86."},
        {"takes what is not there", "t."},
        {"takes what is not there", "(R."},
        {"recalls what was not stored", "h\x07."},
        {"stores what is not there", "q\x01."},
        {"items of what is no dict", "K\x01K\x02K\x03s."},
        {"a key without value", "}(K\x01u."},
        {"it calls what is no global", "K\x01)R."},
        {"it calls 'torch FloatStorage'", global("torch", "FloatStorage") + ")R."},
        {"arguments are no tuple", global("collections", "OrderedDict") + "K\x01R."},
        {"OrderedDict with arguments", global("collections", "OrderedDict") + "K\x01\x85R."},
        {"attributes of what is no dict",
         "K\x01K\x02"
         "b."},
        {"storage's id is malformed", ")Q."},
        {"storage's id is malformed",
         tuple({text("storage"), text("x"), text("0"), text("cpu"), integer(1)}) + "Q."},
        {"storage's id is malformed", storage("FloatStorage", "0", -1) + "."},
        {"storage's id is not a tuple", "}Q."},
        {"a parameter without tensor",
         global("torch._utils", "_rebuild_parameter") + tuple({integer(1)}) + "R."},
        {"a tensor without storage", global("torch._utils", "_rebuild_tensor_v2") + ")R."},
        {"more strides than axes", dict({{"a", tensor(whole, 0, {3, 4}, {1})}})},
        {"no non-negative integer", dict({{"a", tensor(whole, 0, {-3}, {1})}})},
        {"no non-negative integer", dict({{"a", tensor(whole, -1, {3}, {1})}})},
        {"more than 8 axes",
         dict({{"a", tensor(whole, 0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1})}})},
        {"an integer is too large",
         "\x8a\x09"
         "123456789."},
        {"no dict of tensors", "K\x01."},
        {"holds no tensors", "}."},
        {"holds no tensors", "}q\x01X\x01"s + std::string("\0\0\0", 3) + "ah\x01s."},  // a dict in itself
        {"tensor 'a' is given twice",
         dict({{"a", tensor(whole, 0, {1}, {1})}, {"a", tensor(whole, 0, {1}, {1})}})},
        {"not plain text", dict({{"a\nb", tensor(whole, 0, {1}, {1})}})},
        {"opcode 0x00 is none", std::string("\0", 1)},
        {"no dict of tensors", std::string(1000000, '(') + "t."},
    };
    for (const auto& bad : cases) {
        SCOPED_TRACE(bad.pickle.substr(0, 100));
        const std::string file = file_of(bad.pickle);
        expect_error(ErrorCode::invalid_input, bad.message,
                     [&] { parse_torch_file(bytes_of(file), "m.bin"); });
        expect_error(ErrorCode::invalid_input, "m.bin: ", [&] { parse_torch_file(bytes_of(file), "m.bin"); });
    }
    std::string nested = ")";
    for (int i = 0; i < 1000000; ++i) nested += "\x85";
    const std::string file = file_of(nested + ".");
    expect_error(ErrorCode::invalid_input, "no dict of tensors",
                 [&] { parse_torch_file(bytes_of(file), "m.bin"); });
}

TEST(TorchFile, RefusesTensorsBeyondTheirStorage) {
    const std::string whole = storage("FloatStorage", "0", 12);
    const struct {
        const char* message;
        std::string value;
    } cases[] = {
        {"reaches beyond its storage of 12", tensor(whole, 0, {13}, {1})},
        {"reaches beyond its storage of 12", tensor(whole, 9, {4}, {1})},
        {"reaches beyond its storage of 12", tensor(whole, 12, {}, {})},
        {"reaches beyond its storage of 12", tensor(whole, 0, {3, 4}, {5, 1})},
        {"reaches beyond its storage of 12", tensor(whole, 0, {2147483647}, {0})},
        {"reaches beyond its storage of 12",
         tensor(whole, 0, {2147483647, 2147483647, 2147483647}, {1, 1, 1})},
        {"storage of tensor 'a' is missing", tensor(storage("FloatStorage", "1", 12), 0, {1}, {1})},
        {"storage of tensor 'a' is missing", tensor(storage("FloatStorage", "../0", 12), 0, {1}, {1})},
        {"has not the size it claims", tensor(storage("FloatStorage", "0", 13), 0, {13}, {1})},
        {"has not the size it claims", tensor(storage("DoubleStorage", "0", 12), 0, {12}, {1})},
    };
    for (const auto& bad : cases) {
        const std::string file = file_of_one(bad.value);
        expect_error(ErrorCode::invalid_input, bad.message,
                     [&] { parse_torch_file(bytes_of(file), "m.bin"); });
    }
}

TEST(TorchFile, RefusesWhatIsNoArchiveOfTorch) {
    const std::string good = file_of_one(tensor(storage("FloatStorage", "0", 12), 0, {12}, {1}));
    ASSERT_NO_THROW(parse_torch_file(bytes_of(good), "m.bin"));
    const auto changed = [&](const std::string& what, size_t after, uint8_t value) {
        std::string file = good;
        file[file.rfind(what) + after] = char(value);
        return file;
    };
    const struct {
        const char* message;
        std::string file;
    } cases[] = {
        {"too short", ""},
        {"too short", "PK"},
        {"no end record", std::string(100000, 'x')},
        {"no end record", good.substr(0, good.size() - 1)},
        {"no end record", good + "x"},
        {"has no data.pkl", zip_of({})},
        {"has no data.pkl", zip_of({{"data.pkl", "."}})},
        {"has no data.pkl", zip_of({{"a/b/data.pkl", "."}})},
        {"two entries have the same name", zip_of({{"a", "."}, {"a", "."}})},
        {"compressed or encrypted", changed("PK\1\2", 10, 8)},
        {"compressed or encrypted", changed("PK\1\2", 8, 1)},
        {"an entry has two sizes", changed("PK\1\2", 20, 1)},
        {"lies outside the file", changed("PK\1\2", 45, 0x70)},
        {"has no header", changed("PK\1\2", 42, 1)},
        {"its directory is damaged", changed("PK\1\2", 0, 'Q')},
        {"shorter than its entries", changed("PK\5\6", 11, 1)},
        {"its directory lies outside", changed("PK\5\6", 19, 1)},
    };
    for (const auto& bad : cases) {
        SCOPED_TRACE(bad.message);
        expect_error(ErrorCode::invalid_input, bad.message,
                     [&] { parse_torch_file(bytes_of(bad.file), "m.bin"); });
    }
    const std::string old =
        std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.") + std::string(100, 'x');
    expect_error(ErrorCode::unsupported, "format before PyTorch 1.6",
                 [&] { parse_torch_file(bytes_of(old), "m.bin"); });
    const std::string big = zip_of({{"a/data.pkl", "."}, {"a/byteorder", "big"}});
    expect_error(ErrorCode::unsupported, "byte order", [&] { parse_torch_file(bytes_of(big), "m.bin"); });
}

TEST(TorchFile, EveryFlippedBitIsRefusedOrReadSafely) {
    const std::string whole = storage("FloatStorage", "0", 12);
    const std::string pickle =
        dict({{"a", tensor(whole, 0, {4, 3}, {1, 4})}, {"b", tensor(whole, 6, {2, 3}, {3, 1})}});
    std::mt19937 random(2);
    for (const bool zip64 : {false, true}) {
        const std::string good = file_of(pickle, zip64);
        const test::TemporaryFolder folder;
        size_t refused = 0;
        const auto probe = [&](const std::string& file) {
            try {
                for (const StoredTensor& found : parse_torch_file(bytes_of(file), "flipped")) {
                    const uint64_t width = size_of(found.type);
                    uint64_t last = found.offset;
                    for (size_t axis = 0; axis < found.shape.size() && found.elements() > 0; ++axis)
                        last +=
                            found.strides.empty() ? 0 : (found.shape[axis] - 1) * found.strides[axis] * width;
                    if (found.strides.empty() && found.elements() > 0) last += (found.elements() - 1) * width;
                    ASSERT_TRUE(found.elements() == 0 || last + width <= file.size());
                }
            } catch (const Error& error) {
                ++refused;
                ASSERT_EQ(std::string(error.what()).rfind("flipped: ", 0), 0u) << error.what();
                ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
            }
        };
        for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
            std::string file = good;
            file[bit / 8] = char(file[bit / 8] ^ (1 << bit % 8));
            probe(file);
        }
        EXPECT_GT(refused, good.size());
        for (size_t length = 0; length < good.size(); ++length) probe(good.substr(0, length));
        for (int i = 0; i < 20000; ++i) {
            std::string file = good;
            for (int n = 0; n < 4; ++n) file[random() % file.size()] = char(random());
            probe(file);
        }
    }
}

TEST(TorchFile, OfARealModelHoldsWhatItsSafetensorsFileHolds) {
    const auto folder = test::test_data() / "weights" / "camphr-ner-bert";
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no VKBERT_TEST_DATA";
    const Checkpoint torch = Checkpoint::open(folder / "pytorch_model.bin");
    const Checkpoint safe = Checkpoint::open(folder / "model.safetensors");
    EXPECT_EQ(torch.tensors().size(), 24u);
    ASSERT_EQ(torch.tensors().size(), safe.tensors().size());
    for (const StoredTensor& tensor : torch.tensors()) {
        const StoredTensor* other = safe.find(tensor.name);
        ASSERT_TRUE(other) << tensor.name;
        EXPECT_EQ(tensor.shape, other->shape) << tensor.name;
        EXPECT_EQ(tensor.type, other->type) << tensor.name;
        if (!floating(tensor.type)) continue;
        EXPECT_EQ(values(torch, tensor.name), values(safe, tensor.name)) << tensor.name;
    }
}

}  // namespace
}  // namespace vkbert
