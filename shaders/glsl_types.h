// Lets C++ include the push-constant headers that GLSL includes too.
#pragma once
#include <cstdint>
namespace vkbert {
using uint = uint32_t;
}
