// --layers: which hidden states.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vkbert::tools {

/// "-1", "0,-1", "-4:" (the last four), "1:4": indices as in Python, of L+1 hidden states of which 0 is the
/// embeddings'. Errors (invalid_argument): no such layer, or not of this form.
std::vector<int> parse_layers(const std::string& text, uint32_t layers);

}  // namespace vkbert::tools
