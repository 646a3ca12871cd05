#include "runtime/tuning.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <set>

#include "runtime/error.hpp"
#include "runtime/hash.hpp"
#include "runtime/ops.hpp"

namespace vkbert {

namespace {

constexpr std::string_view first_line = "vkbert tuning 1\n";

/// Of all that a compiler gets of the kernels: times, and the order of sums, belong to it. Each shader once
/// and two words at a time, as every command that finds a tuning waits for it: 0.3 ms of a megabyte.
uint64_t hash_of_kernels() {
    uint64_t hash = fnv1a({});
    const auto add = [&](const auto& values) { hash = fnv1a(std::as_bytes(std::span(values)), hash); };
    const auto add_code = [&](std::span<const uint32_t> code) {
        for (size_t i = 0; i + 1 < code.size(); i += 2)
            hash = fnv1a_step(hash, code[i] | uint64_t(code[i + 1]) << 32);
        if (code.size() % 2 != 0) hash = fnv1a_step(hash, code.back());
    };
    std::set<const Shader*> shaders;
    for (const ops::KernelTable& table : ops::all_kernels())
        for (const Kernel& kernel : table.kernels) {
            add(kernel.op);
            add(kernel.name);
            add(kernel.constants);
            if (shaders.insert(kernel.shader).second) add_code(kernel.shader->code);
            add(kernel.shader->name);
            add(std::array{kernel.required_subgroup_size});
        }
    return hash;
}

/// llvmpipe's subgroups are as wide as its user says, and what is fast depends on it.
std::string identity(const Capabilities& c) {
    return fmt::format("device {:08x} {:08x} driver {} subgroups {} kernels {:016x}\n", c.vendor_id,
                       c.device_id, driver_identity(c), c.subgroup_size, hash_of_kernels());
}

std::string last_line(size_t choices) {
    return fmt::format("end {}\n", choices);
}

uint32_t power_of_two(uint32_t rows) {
    return rows == 0 ? 0 : std::bit_ceil(std::min(rows, 1u << 31));
}

/// Takes text up to the separator, which goes too, off the front. Nothing when there is none.
std::optional<std::string_view> take(std::string_view& text, char separator) {
    const size_t end = text.find(separator);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(end + 1);
    return taken;
}

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

std::optional<uint32_t> number(std::string_view text) {
    uint32_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc() && rest == text.data() + text.size();
    return good ? std::optional(value) : std::nullopt;
}

}  // namespace

Tuning::Key Tuning::key(std::string_view op, Type type, const TunedShape& shape) {
    return {.op = std::string(op),
            .form = std::string(shape.form),
            .type = type,
            .columns = shape.columns,
            .inner = shape.inner,
            .rows = power_of_two(shape.rows)};
}

void Tuning::set(std::string_view op, Type type, const TunedShape& shape, std::string_view variant) {
    choices_[key(op, type, shape)] = variant;
}

void Tuning::erase(std::string_view op, Type type, const TunedShape& shape) {
    choices_.erase(key(op, type, shape));
}

const Kernel* Tuning::find(std::span<const Kernel> table, const Capabilities& capabilities, Type type,
                           const TunedShape& shape) const {
    if (choices_.empty() || table.empty() || shape.columns == 0) return nullptr;
    Key wanted = key(table.front().op, type, shape);
    const uint64_t rows = wanted.rows;
    for (const uint64_t near : {rows, 2 * rows, rows / 2}) {
        if (near > UINT32_MAX || (near == 0) != (rows == 0)) continue;
        wanted.rows = uint32_t(near);
        const auto choice = choices_.find(wanted);
        if (choice == choices_.end()) continue;
        const auto kernel = std::ranges::find(table, choice->second, &Kernel::name);
        return kernel != table.end() && satisfies(capabilities, *kernel) ? &*kernel : nullptr;
    }
    return nullptr;
}

std::string Tuning::text(const Capabilities& capabilities) const {
    std::string text = std::string(first_line) + identity(capabilities);
    for (const auto& [key, variant] : choices_)
        text += fmt::format("{} {} {} {} {} {} {}\n", key.op, name_of(key.type), key.form, key.columns,
                            key.inner, key.rows, variant);
    return text + last_line(choices_.size());
}

bool Tuning::read_choice(std::string_view line, Tuning& tuning) {
    std::array<std::string_view, 6> fields;
    for (std::string_view& field : fields) {
        const auto taken = take(line, ' ');
        if (!taken) return false;
        field = *taken;
    }
    const auto& [op, type, form, columns, inner, rows] = fields;
    const std::string_view forms[] = {"-", "nt", "nn", "tn", "strips"};
    const auto c = number(columns), i = number(inner), r = number(rows);
    if (!is_name(op) || !is_name(line) || std::ranges::find(forms, form) == std::end(forms)) return false;
    if ((type != "fp32" && type != "fp16") || !c || !i || !r || *c == 0) return false;
    if (*r != 0 && !std::has_single_bit(*r)) return false;
    const TunedShape shape{form, *c, *i, *r};
    return tuning.choices_.emplace(key(op, type == "fp16" ? Type::fp16 : Type::fp32, shape), line).second;
}

std::optional<Tuning> Tuning::parse(std::string_view text, const Capabilities& capabilities) {
    if (text.size() > most_bytes || !text.starts_with(first_line)) return std::nullopt;
    text.remove_prefix(first_line.size());
    const std::string device = identity(capabilities);
    if (!text.starts_with(device)) return std::nullopt;
    text.remove_prefix(device.size());
    Tuning tuning;
    while (text != last_line(tuning.size())) {
        const auto line = take(text, '\n');
        if (!line || !read_choice(*line, tuning)) return std::nullopt;
    }
    return tuning;
}

std::string tuning_file_name(const Capabilities& c) {
    return fmt::format("{}-{:08x}-{:08x}.tuning", driver_identity(c), c.vendor_id, c.device_id);
}

}  // namespace vkbert
