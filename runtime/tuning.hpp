// Choices of kernel variants that were measured on a device, where the tables of kernels.hpp hold only what
// is good on devices of its kind. Plain data: whoever measures keeps the text, and whoever makes a plan hands
// it in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/capabilities.hpp"
#include "runtime/kernels.hpp"
#include "runtime/types.hpp"

namespace vkbert {

/// What a choice depends on, beside the op and the type of its operands.
struct TunedShape {
    std::string_view form = "-";  // of matmul nt, nn, tn (ops::Orientation) or strips (ops::Strips)
    uint32_t columns = 0;         // N of matmul, else of a row or of a head; 0: nothing is ever chosen for it
    uint32_t inner = 0;           // K of matmul, for tn M
    uint32_t rows = 0;            // M of matmul, for tn K: tokens, at capacity; 0: any number of them
};

/// Which variant to use where. It decides nothing about results' meaning, but a variant may add up in an
/// order of its own: the same tuning gives the same bits, another one may give others.
class Tuning {
  public:
    /// `variant` is the choice for this shape, with rows rounded up to a power of two.
    void set(std::string_view op, Type type, const TunedShape& shape, std::string_view variant);
    /// Nothing is known about this shape any more; the built-in table decides.
    void erase(std::string_view op, Type type, const TunedShape& shape);

    /// The variant of the table to use, or nullptr when nothing is known, or it is one that the table has not
    /// or the device cannot run. A choice serves its own rows' power of two, and the next above and below
    /// unless they have their own.
    const Kernel* find(std::span<const Kernel> table, const Capabilities&, Type type,
                       const TunedShape& shape) const;

    /// Lines of text for parse(), with what identifies the device, its driver and this build's kernels.
    std::string text(const Capabilities&) const;
    /// The tuning that text() wrote; nothing when it is of another device, driver or build, or damaged in any
    /// way.
    static std::optional<Tuning> parse(std::string_view text, const Capabilities&);

    bool empty() const { return choices_.empty(); }
    size_t size() const { return choices_.size(); }
    friend bool operator==(const Tuning&, const Tuning&) = default;

    /// Texts that are longer are refused, so nobody needs to read on.
    static constexpr size_t most_bytes = 1 << 20;

  private:
    struct Key {
        std::string op, form;
        Type type;
        uint32_t columns, inner, rows;
        auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr): a false alarm
    };
    static Key key(std::string_view op, Type type, const TunedShape& shape);
    static bool read_choice(std::string_view line, Tuning& tuning);

    std::map<Key, std::string> choices_;
};

/// What the file with a device's tuning is called, in the folder of the pipeline cache.
std::string tuning_file_name(const Capabilities&);

}  // namespace vkbert
