#include "bert/torch_file.hpp"

#include "runtime/error.hpp"

namespace vkbert {

std::vector<StoredTensor> parse_torch_file(std::span<const std::byte>, std::string_view name) {
    fail(ErrorCode::unsupported, "{}: only safetensors files can be read", name);
}

}  // namespace vkbert
