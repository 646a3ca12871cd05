#include <algorithm>
#include <cctype>
#include <cstring>

#include "runtime/device.hpp"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace vkbert {

namespace {

constexpr const char* validation_layer = "VK_LAYER_KHRONOS_validation";

void* open_loader() {
#ifdef _WIN32
    return reinterpret_cast<void*>(LoadLibraryA("vulkan-1.dll"));
#elif defined(__APPLE__)
    for (const char* name : {"libvulkan.1.dylib", "libMoltenVK.dylib"})
        if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    return nullptr;
#else
    for (const char* name : {"libvulkan.so.1", "libvulkan.so"})
        if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    return nullptr;
#endif
}

PFN_vkGetInstanceProcAddr entry_point(void* library) {
#ifdef _WIN32
    return reinterpret_cast<PFN_vkGetInstanceProcAddr>(
        reinterpret_cast<void*>(GetProcAddress(reinterpret_cast<HMODULE>(library), "vkGetInstanceProcAddr")));
#else
    return reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
#endif
}

void close_loader(void* library) {
#ifdef _WIN32
    FreeLibrary(reinterpret_cast<HMODULE>(library));
#else
    dlclose(library);
#endif
}

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
    const auto& options = *static_cast<const Instance::Options*>(user);
    if (options.message && data->pMessage) options.message(data->pMessage);
    return VK_FALSE;
}

bool has_extension(const std::vector<VkExtensionProperties>& list, const char* name) {
    return std::any_of(list.begin(), list.end(),
                       [&](const auto& e) { return !std::strcmp(e.extensionName, name); });
}

}  // namespace

Instance::Instance(Options options) : options_(std::move(options)) {
    library_ = open_loader();
    if (!library_)
        fail(ErrorCode::no_device,
             "no Vulkan loader (libvulkan.so.1) is installed: install a Vulkan driver, e.g. "
             "mesa-vulkan-drivers");
    try {
        create(options_);
    } catch (...) {
        if (instance_ && functions_.vkDestroyInstance) functions_.vkDestroyInstance(instance_, nullptr);
        close_loader(library_);
        throw;
    }
}

void Instance::create(const Options& options) {
    const auto get = entry_point(library_);
    if (!get) fail(ErrorCode::no_device, "the Vulkan loader has no vkGetInstanceProcAddr");
    const auto create_instance = reinterpret_cast<PFN_vkCreateInstance>(get(nullptr, "vkCreateInstance"));
    const auto instance_version =
        reinterpret_cast<PFN_vkEnumerateInstanceVersion>(get(nullptr, "vkEnumerateInstanceVersion"));
    const auto list_extensions = reinterpret_cast<PFN_vkEnumerateInstanceExtensionProperties>(
        get(nullptr, "vkEnumerateInstanceExtensionProperties"));
    if (!create_instance || !instance_version || !list_extensions)
        fail(ErrorCode::no_device, "the Vulkan loader is older than 1.1");
    uint32_t version = VK_API_VERSION_1_1;
    instance_version(&version);

    std::vector<const char*> layers, extensions;
    auto available = [&](const char* layer) {
        uint32_t n = 0;
        if (list_extensions(layer, &n, nullptr) != VK_SUCCESS) return std::vector<VkExtensionProperties>{};
        std::vector<VkExtensionProperties> list(n);
        list_extensions(layer, &n, list.data());
        return list;
    };
    const auto loader_extensions = available(nullptr);
    if (options.validation) layers.push_back(validation_layer);
    const bool messages =
        options.message && has_extension(loader_extensions, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    if (messages) extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    VkInstanceCreateFlags flags = 0;
    if (has_extension(loader_extensions, "VK_KHR_portability_enumeration")) {
        extensions.push_back("VK_KHR_portability_enumeration");
        flags |= 0x1;  // VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR: MoltenVK
    }
    const VkValidationFeatureEnableEXT enabled[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT validation{
        VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT, nullptr, 1, enabled, 0, nullptr};
    if (options.validation &&
        has_extension(available(validation_layer), VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME))
        extensions.push_back(VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);

    const VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                        nullptr,
                                        "vkbert",
                                        1,
                                        "vkbert",
                                        1,
                                        std::min<uint32_t>(version, VK_API_VERSION_1_3)};
    const VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                    options.validation ? &validation : nullptr,
                                    flags,
                                    &application,
                                    uint32_t(layers.size()),
                                    layers.data(),
                                    uint32_t(extensions.size()),
                                    extensions.data()};
    const VkResult result = create_instance(&info, nullptr, &instance_);
    if (result == VK_ERROR_LAYER_NOT_PRESENT)
        fail(ErrorCode::no_device, "{} is not installed (package vulkan-validationlayers)", validation_layer);
    if (result != VK_SUCCESS)
        fail(ErrorCode::no_device, "vkCreateInstance failed ({}): no Vulkan driver is installed",
             int(result));
    functions_.load(get, instance_);
    if (messages && functions_.vkCreateDebugUtilsMessengerEXT) {
        VkDebugUtilsMessengerCreateInfoEXT m{};
        m.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
        m.messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
        m.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
        m.pfnUserCallback = on_message;
        m.pUserData = &options_;
        functions_.vkCreateDebugUtilsMessengerEXT(instance_, &m, nullptr, &messenger_);
    }
}

Instance::~Instance() {
    if (messenger_) functions_.vkDestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
    if (instance_) functions_.vkDestroyInstance(instance_, nullptr);
    if (library_) close_loader(library_);
}

std::vector<VkPhysicalDevice> Instance::physical_devices() const {
    uint32_t n = 0;
    if (functions_.vkEnumeratePhysicalDevices(instance_, &n, nullptr) != VK_SUCCESS) n = 0;
    std::vector<VkPhysicalDevice> devices(n);
    if (n) functions_.vkEnumeratePhysicalDevices(instance_, &n, devices.data());
    devices.resize(n);
    return devices;
}

size_t choose_device(const std::vector<Capabilities>& devices, const std::string& wanted) {
    auto names = [&] {
        std::string list;
        for (size_t i = 0; i < devices.size(); ++i)
            list += fmt::format("{}{}: {}", i ? ", " : "", i, devices[i].device_name);
        return list;
    };
    if (devices.empty())
        fail(ErrorCode::no_device,
             "no Vulkan device: install a driver (on a machine without GPU: mesa-vulkan-drivers)");
    if (wanted.empty() || wanted == "auto") {
        auto rank = [](DeviceClass c) {
            return c == DeviceClass::discrete     ? 0
                   : c == DeviceClass::integrated ? 1
                   : c == DeviceClass::other      ? 2
                                                  : 3;
        };
        return size_t(std::min_element(devices.begin(), devices.end(),
                                       [&](const auto& a, const auto& b) {
                                           return rank(a.device_class) < rank(b.device_class);
                                       }) -
                      devices.begin());
    }
    if (std::all_of(wanted.begin(), wanted.end(), [](unsigned char c) { return std::isdigit(c); })) {
        const size_t index = wanted.size() < 6 ? std::stoul(wanted) : devices.size();
        if (index < devices.size()) return index;
        fail(ErrorCode::no_device, "there is no Vulkan device {}; there are {}", wanted, names());
    }
    auto lower = [](std::string s) {
        std::transform(s.begin(), s.end(), s.begin(), [](unsigned char c) { return char(std::tolower(c)); });
        return s;
    };
    for (size_t i = 0; i < devices.size(); ++i)
        if (lower(devices[i].device_name).find(lower(wanted)) != std::string::npos) return i;
    fail(ErrorCode::no_device, "no Vulkan device is called '{}'; there are {}", wanted, names());
}

}  // namespace vkbert
