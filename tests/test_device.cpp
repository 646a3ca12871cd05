#include "tests/test_device.hpp"

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace vkbert::test {
namespace {

/// Everything of this process that lives as long as the device.
struct Session {
    std::mutex mutex;
    std::vector<std::string> messages;
    std::shared_ptr<Instance> instance;
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    std::unique_ptr<Device> device;
    std::unique_ptr<PipelineCache> pipelines;

    Session() {
        const char* wanted = std::getenv("VKBERT_TEST_DEVICE");
        const char* validation = std::getenv("VKBERT_VALIDATION");
        Instance::Options options;
        options.validation = validation != nullptr && std::string_view(validation) == "1";
        options.message = [this](const std::string& text) {
            const std::scoped_lock lock(mutex);
            messages.push_back(text);
        };
        instance = std::make_shared<Instance>(options);
        const auto devices = instance->physical_devices();
        std::vector<Capabilities> all;
        all.reserve(devices.size());
        for (VkPhysicalDevice p : devices) all.push_back(query_capabilities(instance->functions(), p));
        physical = devices[choose_device(all, wanted != nullptr ? wanted : "auto")];
        device = Device::create(instance, physical);
        pipelines = std::make_unique<PipelineCache>(*device);
    }
};

Session& session() {
    static Session shared;
    return shared;
}

}  // namespace

Device& device() {
    return *session().device;
}
PipelineCache& pipelines() {
    return *session().pipelines;
}
const Instance& instance() {
    return *session().instance;
}
VkPhysicalDevice physical_device() {
    return session().physical;
}

std::unique_ptr<Device> another_device(const std::string& pipeline_cache_folder) {
    return Device::create(session().instance, session().physical, pipeline_cache_folder);
}

std::vector<std::string> take_validation_messages() {
    const std::scoped_lock lock(session().mutex);
    return std::exchange(session().messages, {});
}

}  // namespace vkbert::test
