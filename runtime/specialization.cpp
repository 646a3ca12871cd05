#include "runtime/specialization.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace vkbert {

namespace {

// Of the SPIR-V specification, 3.32 and 3.20.
enum Op : uint32_t {
    type_bool = 20,
    constant_true = 41,
    constant_false = 42,
    constant = 43,
    constant_composite = 44,
    spec_constant_true = 48,
    spec_constant_false = 49,
    spec_constant = 50,
    spec_constant_composite = 51,
    spec_constant_op = 52,
    decorate = 71,
    i_add = 128,
    i_sub = 130,
    i_mul = 132,
    u_div = 134,
    u_mod = 137,
    logical_or = 166,
    logical_and = 167,
    logical_not = 168,
    select = 169,
    i_equal = 170,
    i_not_equal = 171,
    u_greater_than = 172,
    u_greater_than_equal = 174,
    u_less_than = 176,
    u_less_than_equal = 178,
    bitwise_or = 197,
    bitwise_and = 199,
};
constexpr uint32_t decoration_spec_id = 1, header_words = 5;

using Words = std::span<const uint32_t>;

/// Of 32-bit integers and, as 0 and 1, booleans. Nothing when the operation is none that our shaders use.
std::optional<uint32_t> fold(uint32_t op, uint32_t a, uint32_t b, uint32_t c) {
    switch (op) {
        case i_add:
            return a + b;
        case i_sub:
            return a - b;
        case i_mul:
            return a * b;
        case u_div:
            return b != 0 ? std::optional(a / b) : std::nullopt;
        case u_mod:
            return b != 0 ? std::optional(a % b) : std::nullopt;
        case bitwise_or:
        case logical_or:
            return a | b;
        case bitwise_and:
        case logical_and:
            return a & b;
        case logical_not:
            return a ^ 1;
        case select:
            return a != 0 ? b : c;
        case i_equal:
            return a == b;
        case i_not_equal:
            return a != b;
        case u_greater_than:
            return a > b;
        case u_greater_than_equal:
            return a >= b;
        case u_less_than:
            return a < b;
        case u_less_than_equal:
            return a <= b;
        default:
            return std::nullopt;
    }
}

class Specializer {
  public:
    Specializer(Words code, Words constants) : constants_(constants) {
        out_.reserve(code.size());
        size_t at = std::min<size_t>(header_words, code.size());
        out_.assign(code.begin(), code.begin() + ptrdiff_t(at));
        while (at < code.size()) {
            const size_t words = code[at] >> 16;
            if (words == 0 || words > code.size() - at) break;
            const Words instruction = code.subspan(at, words);
            at += words;
            if (!rewrite(instruction)) out_.insert(out_.end(), instruction.begin(), instruction.end());
        }
        out_.insert(out_.end(), code.begin() + ptrdiff_t(at), code.end());  // what no instruction begins
    }
    std::vector<uint32_t> take() && { return std::move(out_); }

  private:
    /// False when the instruction stays as it is.
    bool rewrite(Words i) {
        switch (i[0] & 0xFFFF) {
            case type_bool:
                booleans_.insert(i[1]);
                return false;
            case decorate:
                if (i[2] != decoration_spec_id) return false;
                spec_ids_[i[1]] = i[3];
                return true;
            case constant_true:
                values_[i[2]] = 1;
                return false;
            case constant_false:
                values_[i[2]] = 0;
                return false;
            case constant:
                if (i.size() == 4) values_[i[2]] = i[3];
                return false;
            case spec_constant_true:
                define(i[1], i[2], set(i[2], 1));
                return true;
            case spec_constant_false:
                define(i[1], i[2], set(i[2], 0));
                return true;
            case spec_constant:
                if (i.size() != 4) return false;
                define(i[1], i[2], set(i[2], i[3]));
                return true;
            case spec_constant_composite:
                out_.push_back(uint32_t(i.size() << 16) | constant_composite);
                out_.insert(out_.end(), i.begin() + 1, i.end());
                return true;
            case spec_constant_op:
                return fold_into_constant(i);
            default:
                return false;
        }
    }

    /// What specialization constant `id` is to be.
    uint32_t set(uint32_t id, uint32_t by_default) const {
        const auto spec_id = spec_ids_.find(id);
        return spec_id != spec_ids_.end() && spec_id->second < constants_.size() ? constants_[spec_id->second]
                                                                                 : by_default;
    }

    void define(uint32_t type, uint32_t id, uint32_t value) {
        if (booleans_.contains(type)) {
            value = value != 0;
            out_.insert(out_.end(), {3u << 16 | (value != 0 ? constant_true : constant_false), type, id});
        } else {
            out_.insert(out_.end(), {4u << 16 | constant, type, id, value});
        }
        values_[id] = value;
    }

    bool fold_into_constant(Words i) {
        uint32_t operands[3] = {0, 0, 0};
        if (i.size() < 5 || i.size() > 7) return false;
        for (size_t k = 4; k < i.size(); k++) {
            const auto value = values_.find(i[k]);
            if (value == values_.end()) return false;
            operands[k - 4] = value->second;
        }
        const std::optional<uint32_t> value = fold(i[3], operands[0], operands[1], operands[2]);
        if (value) define(i[1], i[2], *value);
        return value.has_value();
    }

    Words constants_;
    std::vector<uint32_t> out_;
    std::unordered_set<uint32_t> booleans_;                     // types
    std::unordered_map<uint32_t, uint32_t> spec_ids_, values_;  // of an id
};

}  // namespace

std::vector<uint32_t> specialize(std::span<const uint32_t> code, std::span<const uint32_t> constants) {
    return Specializer(code, constants).take();
}

}  // namespace vkbert
