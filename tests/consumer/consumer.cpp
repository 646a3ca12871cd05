// Links against the installed package and builds a plan, which needs no GPU.
#include <cstdio>

#include "bert/config.hpp"
#include "bert/session.hpp"

int main() {
    const vkbert::Config config = vkbert::config_of_shape("tiny");
    vkbert::Capabilities capabilities;
    capabilities.max_storage_buffers = 8;
    const uint64_t bytes = vkbert::Session::planned_bytes(capabilities, config, {}, {});
    std::printf("a session of BERT-Tiny needs %llu bytes\n", static_cast<unsigned long long>(bytes));
    return bytes > 0 ? 0 : 1;
}
