#pragma once
#include "runtime/capabilities.hpp"
namespace vkbert {
void apply_workarounds(Capabilities& capabilities);
}
