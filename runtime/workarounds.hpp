// Vendor and driver workarounds: all of them live here, as data. Everywhere else code asks for capabilities
// only.
#pragma once

#include <span>
#include <string_view>

#include "runtime/capabilities.hpp"

namespace vkbert {

/// One fact about some drivers that no Vulkan query tells.
struct Workaround {
    std::string_view name;
    std::string_view reason;  // what was seen, and where to read about it
    bool (*concerns)(const Capabilities&);
    void (*apply)(Capabilities&);
};

/// All of them, in the order in which they are applied.
std::span<const Workaround> workarounds();

/// Corrects what a driver says about itself, and sets the facts at the end of Capabilities. Applying twice
/// changes nothing more.
void apply_workarounds(Capabilities& capabilities);

}  // namespace vkbert
