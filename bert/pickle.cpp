#include "bert/pickle.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "runtime/error.hpp"

namespace vkbert {

namespace {

// Far more than any state dict needs; bounds the memory of a hostile one.
constexpr size_t max_pickle = size_t(16) << 20, max_axes = 8, max_name = 1000;

constexpr std::array<std::pair<std::string_view, DataType>, 10> storages{{
    {"torch FloatStorage", DataType::f32},
    {"torch HalfStorage", DataType::f16},
    {"torch BFloat16Storage", DataType::bf16},
    {"torch DoubleStorage", DataType::f64},
    {"torch LongStorage", DataType::i64},
    {"torch IntStorage", DataType::i32},
    {"torch ShortStorage", DataType::i16},
    {"torch CharStorage", DataType::i8},
    {"torch ByteStorage", DataType::u8},
    {"torch BoolStorage", DataType::boolean},
}};
constexpr std::string_view ordered_dict = "collections OrderedDict",
                           rebuild_tensor = "torch._utils _rebuild_tensor_v2",
                           rebuild_parameter = "torch._utils _rebuild_parameter";

// None, numbers that are not integers: things that may stand in a dict but say nothing here are `other`.
enum class Kind : uint8_t { other, integer, boolean, text, global, tuple, dict, storage, tensor, mark };

// Containers are named by index, not owned: cycles cannot leak and nesting cannot exhaust the stack.
struct Value {
    Kind kind = Kind::other;
    int64_t number = 0;     // integer, boolean; index of a tuple, dict, storage or tensor
    std::string_view text;  // text, global
};

class Machine {
  public:
    Machine(std::span<const std::byte> pickle, std::string_view name)
        : bytes_(reinterpret_cast<const char*>(pickle.data()), pickle.size()), name_(name) {}

    std::vector<PickledTensor> run() {
        for (;;) {
            const auto opcode = uint8_t(take(1)[0]);
            if (opcode == '.') return result();
            if (!push_constant(opcode) && !use_memo(opcode) && !build(opcode))
                bad(fmt::format("opcode 0x{:02x} is none that a state dict needs", opcode));
        }
    }

  private:
    [[noreturn]] void bad(std::string_view what) const {
        fail(ErrorCode::invalid_input, "{}: pickle refused: {}", name_, what);
    }
    std::string_view take(uint64_t length) {
        if (length > bytes_.size() - at_) bad("it ends too early");
        const std::string_view taken = bytes_.substr(at_, size_t(length));
        at_ += size_t(length);
        return taken;
    }
    template <typename T>
    T load() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    std::string_view line() {
        const size_t end = bytes_.find('\n', at_);
        if (end == std::string_view::npos) bad("it ends too early");
        const std::string_view text = take(end - at_);
        ++at_;
        return text;
    }
    void push(Kind kind, int64_t number = 0, std::string_view text = {}) {
        stack_.push_back({kind, number, text});
    }
    Value pop() {
        if (stack_.empty() || stack_.back().kind == Kind::mark) bad("it takes what is not there");
        const Value value = stack_.back();
        stack_.pop_back();
        return value;
    }
    Value pop(Kind kind, std::string_view what) {
        const Value value = pop();
        if (value.kind != kind) bad(what);
        return value;
    }
    std::vector<Value> pop_to_mark() {
        const auto mark =
            std::find_if(stack_.rbegin(), stack_.rend(), [](const Value& v) { return v.kind == Kind::mark; });
        if (mark == stack_.rend()) bad("it takes what is not there");
        std::vector<Value> values(mark.base(), stack_.end());
        stack_.erase(mark.base() - 1, stack_.end());
        return values;
    }

    // Opcodes that push one value that stands in the pickle, and those that change nothing.
    bool push_constant(uint8_t opcode) {
        switch (opcode) {
            case 0x80: {  // PROTO
                const auto protocol = load<uint8_t>();
                if (protocol > 5) bad(fmt::format("protocol {} is not known", protocol));
                return true;
            }
            case 0x95:
                take(8);
                return true;  // FRAME
            case '(':
                push(Kind::mark);
                return true;  // MARK
            case 'N':
                push(Kind::other);
                return true;  // NONE
            case 'G':
                take(8), push(Kind::other);
                return true;  // BINFLOAT
            case 0x88:
                push(Kind::boolean, 1);
                return true;  // NEWTRUE
            case 0x89:
                push(Kind::boolean, 0);
                return true;  // NEWFALSE
            case 'J':
                push(Kind::integer, load<int32_t>());
                return true;  // BININT
            case 'K':
                push(Kind::integer, load<uint8_t>());
                return true;  // BININT1
            case 'M':
                push(Kind::integer, load<uint16_t>());
                return true;  // BININT2
            case 0x8a:
                push_long(take(load<uint8_t>()));
                return true;  // LONG1
            case 'X':
                push(Kind::text, 0, take(load<uint32_t>()));
                return true;  // BINUNICODE
            case 0x8c:
                push(Kind::text, 0, take(load<uint8_t>()));
                return true;  // SHORT_BINUNICODE
            case '}':
                push_container(Kind::dict, {});
                return true;  // EMPTY_DICT
            case ')':
                push_container(Kind::tuple, {});
                return true;  // EMPTY_TUPLE
            case 'c': {       // GLOBAL
                const std::string_view module = line(), member = line();
                push_global(std::string(module) + " " + std::string(member));
                return true;
            }
            default:
                return false;
        }
    }

    bool use_memo(uint8_t opcode) {
        switch (opcode) {
            case 'h':
                get(load<uint8_t>());
                return true;  // BINGET
            case 'j':
                get(load<uint32_t>());
                return true;  // LONG_BINGET
            case 'q':
                put(load<uint8_t>());
                return true;  // BINPUT
            case 'r':
                put(load<uint32_t>());
                return true;  // LONG_BINPUT
            case 0x94:
                put(uint32_t(memo_.size()));
                return true;  // MEMOIZE
            default:
                return false;
        }
    }

    // Opcodes that make one value of others.
    bool build(uint8_t opcode) {
        switch (opcode) {
            case 't':
                push_container(Kind::tuple, pop_to_mark());
                return true;  // TUPLE
            case 0x85:
            case 0x86:
            case 0x87:
                push_tuple(size_t(opcode - 0x84));
                return true;  // TUPLE1, TUPLE2, TUPLE3
            case 0x93: {      // STACK_GLOBAL
                const Value member = pop(Kind::text, "a global's name is not text");
                const Value module = pop(Kind::text, "a global's name is not text");
                push_global(std::string(module.text) + " " + std::string(member.text));
                return true;
            }
            case 's': {  // SETITEM
                const Value value = pop(), key = pop();
                set_items({key, value});
                return true;
            }
            case 'u':
                set_items(pop_to_mark());
                return true;  // SETITEMS
            case 'Q':
                push_storage(pop(Kind::tuple, "a storage's id is not a tuple"));
                return true;  // BINPERSID
            case 'R':
                reduce();
                return true;  // REDUCE
            case 'b':         // BUILD: a dict's attributes, unused
                pop();
                if (stack_.empty() || stack_.back().kind != Kind::dict) bad("attributes of what is no dict");
                return true;
            default:
                return false;
        }
    }

    void push_long(std::string_view digits) {
        if (digits.size() > 8) bad("an integer is too large");
        uint64_t value = 0;
        for (size_t i = 0; i < digits.size(); ++i) value |= uint64_t(uint8_t(digits[i])) << (8 * i);
        if (!digits.empty() && digits.size() < 8 && (digits.back() & 0x80))
            value |= ~uint64_t(0) << (8 * digits.size());
        push(Kind::integer, int64_t(value));
    }
    void push_container(Kind kind, std::vector<Value> values) {
        push(kind, int64_t(containers_.size()));
        containers_.push_back(std::move(values));
    }
    void push_tuple(size_t count) {
        std::vector<Value> values(count);
        for (size_t i = count; i-- > 0;) values[i] = pop();
        push_container(Kind::tuple, std::move(values));
    }
    void push_global(const std::string& global) {
        for (const std::string_view known : {ordered_dict, rebuild_tensor, rebuild_parameter})
            if (global == known) return push(Kind::global, 0, known);
        for (const auto& [known, type] : storages)
            if (global == known) return push(Kind::global, int64_t(type), known);
        std::string shown = global.substr(0, 100);
        std::replace_if(
            shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
        bad(fmt::format("global '{}' is none that a state dict needs", shown));
    }
    void get(uint32_t index) {
        const auto found = memo_.find(index);
        if (found == memo_.end()) bad("it recalls what was not stored");
        stack_.push_back(found->second);
    }
    void put(uint32_t index) {
        if (stack_.empty() || stack_.back().kind == Kind::mark) bad("it stores what is not there");
        memo_[index] = stack_.back();
    }
    void set_items(const std::vector<Value>& items) {
        if (items.size() % 2 != 0) bad("a dict has a key without value");
        if (stack_.empty() || stack_.back().kind != Kind::dict) bad("items of what is no dict");
        std::vector<Value>& dict = containers_[size_t(stack_.back().number)];
        dict.insert(dict.end(), items.begin(), items.end());
    }

    // ("storage", torch.FloatStorage, key, device, elements)
    void push_storage(const Value& id) {
        const std::vector<Value>& fields = containers_[size_t(id.number)];
        const bool sound = fields.size() == 5 && fields[0].kind == Kind::text &&
                           fields[0].text == "storage" && fields[1].kind == Kind::global &&
                           fields[1].text.ends_with("Storage") && fields[2].kind == Kind::text &&
                           fields[4].kind == Kind::integer && fields[4].number >= 0;
        if (!sound) bad("a storage's id is malformed");
        PickledTensor whole;
        whole.type = DataType(fields[1].number);
        whole.storage = fields[2].text;
        whole.storage_elements = uint64_t(fields[4].number);
        push(Kind::storage, int64_t(tensors_.size()));
        tensors_.push_back(std::move(whole));
    }

    void reduce() {
        const std::vector<Value>& arguments =
            containers_[size_t(pop(Kind::tuple, "arguments are no tuple").number)];
        const std::string_view callable = pop(Kind::global, "it calls what is no global").text;
        if (callable == ordered_dict) {
            if (!arguments.empty()) bad("an OrderedDict with arguments");
            push_container(Kind::dict, {});
        } else if (callable == rebuild_parameter) {
            if (arguments.empty() || arguments[0].kind != Kind::tensor) bad("a parameter without tensor");
            stack_.push_back(arguments[0]);
        } else if (callable == rebuild_tensor) {
            push_tensor(arguments);
        } else {
            bad(fmt::format("it calls '{}'", callable));
        }
    }

    // (storage, first element, shape, strides, requires_grad, hooks, ...)
    void push_tensor(const std::vector<Value>& arguments) {
        if (arguments.size() < 4 || arguments[0].kind != Kind::storage) bad("a tensor without storage");
        PickledTensor tensor = tensors_[size_t(arguments[0].number)];
        tensor.first = unsigned_of(arguments[1]);
        tensor.shape = unsigned_tuple(arguments[2]);
        tensor.strides = unsigned_tuple(arguments[3]);
        if (tensor.shape.size() != tensor.strides.size())
            bad("a tensor has more strides than axes, or fewer");
        push(Kind::tensor, int64_t(tensors_.size()));
        tensors_.push_back(std::move(tensor));
    }
    uint64_t unsigned_of(const Value& value) const {
        if (value.kind != Kind::integer || value.number < 0)
            bad("a shape, stride or offset is no non-negative integer");
        return uint64_t(value.number);
    }
    std::vector<uint64_t> unsigned_tuple(const Value& value) const {
        if (value.kind != Kind::tuple) bad("a shape is no tuple");
        const std::vector<Value>& values = containers_[size_t(value.number)];
        if (values.size() > max_axes) bad(fmt::format("a tensor has more than {} axes", max_axes));
        std::vector<uint64_t> numbers;
        numbers.reserve(values.size());
        for (const Value& number : values) numbers.push_back(unsigned_of(number));
        return numbers;
    }

    std::vector<PickledTensor> result() {
        const std::vector<Value>& dict =
            containers_[size_t(pop(Kind::dict, "it holds no dict of tensors").number)];
        std::vector<PickledTensor> found;
        std::unordered_set<std::string_view> names;
        for (size_t i = 0; i < dict.size(); i += 2) {
            if (dict[i].kind != Kind::text || dict[i + 1].kind != Kind::tensor) continue;
            const std::string_view key = dict[i].text;
            if (key.size() > max_name ||
                std::any_of(key.begin(), key.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }))
                bad("a tensor's name is too long or not plain text");
            if (!names.insert(key).second) bad(fmt::format("tensor '{}' is given twice", key));
            found.push_back(tensors_[size_t(dict[i + 1].number)]);
            found.back().name = key;
        }
        if (found.empty()) bad("its dict holds no tensors");
        return found;
    }

    std::string_view bytes_, name_;
    size_t at_ = 0;
    std::vector<Value> stack_;
    std::vector<std::vector<Value>> containers_;
    std::vector<PickledTensor> tensors_;
    std::unordered_map<uint32_t, Value> memo_;
};

}  // namespace

std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle, std::string_view name) {
    if (pickle.size() > max_pickle)
        fail(ErrorCode::invalid_input, "{}: a pickle of {} bytes, more than a state dict needs", name,
             pickle.size());
    return Machine(pickle, name).run();
}

}  // namespace vkbert
