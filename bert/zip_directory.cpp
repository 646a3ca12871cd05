#include "bert/zip_directory.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

constexpr uint32_t local_signature = 0x04034b50, entry_signature = 0x02014b50, end_signature = 0x06054b50,
                   end64_signature = 0x06064b50, locator_signature = 0x07064b50;
constexpr uint64_t local_size = 30, entry_size = 46, end_size = 22, end64_size = 56, locator_size = 20;

class Reader {
  public:
    Reader(std::span<const std::byte> bytes, std::string_view name) : bytes_(bytes), name_(name) {}

    std::map<std::string, ZipEntry> read() {
        find_directory();
        std::map<std::string, ZipEntry> entries;
        uint64_t at = directory_;
        for (uint64_t i = 0; i < count_; ++i) at = read_entry(at, entries);
        return entries;
    }

  private:
    [[noreturn]] void bad(std::string_view what) const {
        fail(ErrorCode::invalid_input, "{}: not a sound zip archive, or truncated: {}", name_, what);
    }
    void need(uint64_t at, uint64_t length, std::string_view what) const {
        if (at > bytes_.size() || length > bytes_.size() - at) bad(what);
    }
    // Little-endian; the caller has checked that the bytes are there.
    template <typename T>
    T load(uint64_t at) const {
        T value;
        std::memcpy(&value, bytes_.data() + at, sizeof(T));
        return value;
    }

    // The record at the end may be followed by a comment of up to 65535 bytes that ends the file.
    uint64_t find_end() const {
        need(0, end_size, "too short");
        const uint64_t last = bytes_.size() - end_size;
        for (uint64_t back = 0; back <= std::min<uint64_t>(last, 65535); ++back)
            if (load<uint32_t>(last - back) == end_signature && load<uint16_t>(last - back + 20) == back)
                return last - back;
        bad("it has no end record");
    }

    void find_directory() {
        const uint64_t end = find_end();
        count_ = load<uint16_t>(end + 10);
        uint64_t size = load<uint32_t>(end + 12);
        directory_ = load<uint32_t>(end + 16);
        if (end >= locator_size && load<uint32_t>(end - locator_size) == locator_signature) {
            const uint64_t end64 = load<uint64_t>(end - locator_size + 8);
            need(end64, end64_size, "its zip64 record lies outside the file");
            if (load<uint32_t>(end64) != end64_signature) bad("its zip64 record is missing");
            count_ = load<uint64_t>(end64 + 32);
            size = load<uint64_t>(end64 + 40);
            directory_ = load<uint64_t>(end64 + 48);
        }
        need(directory_, size, "its directory lies outside the file");
        if (count_ > size / entry_size) bad("its directory is shorter than its entries");
    }

    uint64_t read_entry(uint64_t at, std::map<std::string, ZipEntry>& entries) const {
        need(at, entry_size, "its directory is cut");
        if (load<uint32_t>(at) != entry_signature) bad("its directory is damaged");
        const uint16_t flags = load<uint16_t>(at + 8), method = load<uint16_t>(at + 10);
        const uint64_t name_length = load<uint16_t>(at + 28), extra_length = load<uint16_t>(at + 30),
                       comment_length = load<uint16_t>(at + 32);
        need(at, entry_size + name_length + extra_length + comment_length, "its directory is cut");
        if (method != 0 || (flags & 1)) bad("an entry is compressed or encrypted");
        uint64_t sizes[3] = {load<uint32_t>(at + 24), load<uint32_t>(at + 20), load<uint32_t>(at + 42)};
        read_zip64(at + entry_size + name_length, extra_length, sizes);
        const auto [size, packed_size, local] = sizes;
        if (size != packed_size) bad("an entry has two sizes");

        need(local, local_size, "an entry lies outside the file");
        if (load<uint32_t>(local) != local_signature) bad("an entry has no header");
        const uint64_t data = local + local_size + load<uint16_t>(local + 26) + load<uint16_t>(local + 28);
        need(data, size, "an entry lies outside the file");
        const char* const text = reinterpret_cast<const char*>(bytes_.data()) + at + entry_size;
        if (!entries.emplace(std::string(text, size_t(name_length)), ZipEntry{data, size}).second)
            bad("two entries have the same name");
        return at + entry_size + name_length + extra_length + comment_length;
    }

    // The zip64 extra field holds, in this order, those of the three values that did not fit into 32 bits.
    void read_zip64(uint64_t at, uint64_t length, uint64_t (&values)[3]) const {
        const uint64_t end = at + length;
        while (at + 4 <= end) {
            const uint16_t kind = load<uint16_t>(at), bytes = load<uint16_t>(at + 2);
            at += 4;
            if (bytes > end - at) bad("an extra field is cut");
            uint64_t field = at;
            for (uint64_t& value : values) {
                if (kind != 1 || value != 0xffffffff) continue;
                if (field + 8 > at + bytes) bad("a zip64 field is cut");
                value = load<uint64_t>(field);
                field += 8;
            }
            at += bytes;
        }
    }

    std::span<const std::byte> bytes_;
    std::string_view name_;
    uint64_t directory_ = 0, count_ = 0;
};

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(std::span<const std::byte> bytes, std::string_view name) {
    return Reader(bytes, name).read();
}

}  // namespace vkbert
