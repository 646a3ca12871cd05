// vkbert devices: what each Vulkan device can do and which kernel variants it would use.
#include <vulkan/vulkan_core.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "runtime/device.hpp"
#include "runtime/ops.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/output.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

static const char* name_of(DeviceClass device_class) {
    switch (device_class) {
        case DeviceClass::discrete:
            return "discrete";
        case DeviceClass::integrated:
            return "integrated";
        case DeviceClass::cpu:
            return "cpu";
        case DeviceClass::other:
            break;
    }
    return "other";
}

static std::string version_text(uint32_t version) {
    return fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
                       VK_API_VERSION_PATCH(version));
}

static std::vector<Capabilities> all_devices() {
    const Instance instance;
    std::vector<Capabilities> devices;
    for (VkPhysicalDevice device : instance.physical_devices())
        devices.push_back(query_capabilities(instance.functions(), device));
    return devices;
}

static void write_limits(JsonLine& line, const Capabilities& c) {
    line.field("max_storage_buffer_range", c.max_storage_buffer_range)
        .field("max_buffer_size", c.max_buffer_size);
    line.field("max_allocation", c.max_allocation).field("max_texel_elements", c.max_texel_elements);
    line.field("max_shared_memory", c.max_shared_memory).field("max_invocations", c.max_invocations);
    line.field("max_push_constants", c.max_push_constants)
        .field("max_storage_buffers", c.max_storage_buffers);
}

static void write_features(JsonLine& line, const Capabilities& c) {
    line.key("subgroups").begin_object();
    line.field("size", c.subgroup_size).field("min", c.min_subgroup_size).field("max", c.max_subgroup_size);
    line.field("arithmetic", c.subgroup_arithmetic).field("shuffle", c.subgroup_shuffle);
    line.field("size_control", c.subgroup_size_control).end_object();
    line.key("features").begin_object();
    line.field("buffer_device_address", c.buffer_device_address).field("int64", c.int64);
    line.field("storage_16bit", c.storage_16bit).field("fp16_arithmetic", c.fp16_arithmetic);
    line.field("matrix_per_element", c.matrix_per_element).field("mixed_dot_product", c.mixed_dot_product);
    line.field("timeline_semaphore", c.timeline_semaphore).field("memory_budget", c.memory_budget);
    line.field("timestamps", c.timestamp_bits != 0).end_object();
    line.key("cooperative_matrix").begin_array();
    for (const CooperativeMatrixShape& shape : c.cooperative_matrix_shapes) {
        line.begin_object().field("m", shape.m).field("n", shape.n).field("k", shape.k);
        line.field("a", shape.a)
            .field("b", shape.b)
            .field("c", shape.c)
            .field("result", shape.result)
            .end_object();
    }
    line.end_array();
}

/// The variant that would be used, or nothing when the device can run none of them.
static const Kernel* chosen(const ops::KernelTable& table, const Capabilities& c,
                            const KernelChoices& choices) {
    try {
        return &choose_kernel(table.kernels, c, choices);
    } catch (const Error&) {
        return nullptr;
    }
}

static void write_kernels(JsonLine& line, const Capabilities& c, const KernelChoices& choices) {
    line.key("kernels").begin_array();
    for (const ops::KernelTable& table : ops::all_kernels()) {
        const Kernel* kernel = chosen(table, c, choices);
        line.begin_object().field("op", table.op);
        line.key("chosen");
        kernel ? line.value(kernel->name) : line.null();
        line.key("variants").begin_array();
        for (const Kernel& variant : table.kernels) {
            std::string why;
            const bool runs = satisfies(c, variant, &why);
            line.begin_object().field("name", variant.name).field("runs", runs);
            if (!runs) line.field("why", why);
            line.end_object();
        }
        line.end_array().end_object();
    }
    line.end_array();
}

/// The file that `vkbert tune` has written for the device, or nothing.
static void write_tuning_of(JsonLine& line, const Capabilities& c) {
    const std::filesystem::path path = tuning_path(c);
    line.key("tuning");
    if (const auto tuning = read_tuning(path, c))
        line.begin_object()
            .field("file", path.string())
            .field("choices", uint64_t(tuning->size()))
            .end_object();
    else
        line.null();
}

static std::string tuning_text(const Capabilities& c) {
    const std::filesystem::path path = tuning_path(c);
    if (const auto tuning = read_tuning(path, c))
        return fmt::format("{} measured choices in {}", tuning->size(), path.string());
    std::error_code error;
    return std::filesystem::exists(path, error)
               ? fmt::format("none: {} is not of this driver and build; `vkbert tune` replaces it",
                             path.string())
               : "none; `vkbert tune` measures what is fastest";
}

static void write_json(JsonLine& line, const Capabilities& c, size_t index, bool selected,
                       const KernelChoices& choices) {
    line.begin_object();
    line.field("index", uint64_t(index)).field("name", c.device_name).field("class", name_of(c.device_class));
    line.field("selected", selected).field("driver", c.driver_name).field("driver_info", c.driver_info);
    line.field("vulkan", version_text(c.api_version))
        .field("vendor_id", c.vendor_id)
        .field("device_id", c.device_id);
    line.field("memory", c.device_memory).field("unified_memory", c.unified_memory);
    write_limits(line, c);
    write_features(line, c);
    write_tuning_of(line, c);
    write_kernels(line, c, choices);
    line.end_object();
}

static std::string kernels_text(const Capabilities& c, const KernelChoices& choices) {
    std::string text;
    for (const ops::KernelTable& table : ops::all_kernels()) {
        const Kernel* kernel = chosen(table, c, choices);
        std::string others;
        for (const Kernel& variant : table.kernels)
            if (&variant != kernel && satisfies(c, variant))
                others += (others.empty() ? "" : ", ") + std::string(variant.name);
        text += fmt::format("    {:<18} {}", table.op, kernel ? kernel->name : "none: cannot run here");
        if (!others.empty()) text += "  (also runs " + others + ")";
        text += '\n';
    }
    return text;
}

static std::string device_text(const Capabilities& c, size_t index, bool selected,
                               const KernelChoices& choices) {
    std::string text = fmt::format("{}  {}{}\n", index, c.device_name, selected ? "  (selected)" : "");
    text += fmt::format("  driver   {} {}, Vulkan {}\n", c.driver_name, c.driver_info,
                        version_text(c.api_version));
    text += fmt::format("  memory   {}{}\n", human_bytes(static_cast<double>(c.device_memory)),
                        c.unified_memory ? ", shared with the host" : "");
    text += fmt::format(
        "  limits   buffer range {}, allocation {}, shared memory {}, {} invocations a workgroup\n",
        human_bytes(static_cast<double>(c.max_storage_buffer_range)),
        human_bytes(static_cast<double>(c.max_allocation)), human_bytes(c.max_shared_memory),
        c.max_invocations);
    text += fmt::format("  subgroup {} ({} to {}){}{}\n", c.subgroup_size, c.min_subgroup_size,
                        c.max_subgroup_size, c.subgroup_arithmetic ? ", arithmetic" : "",
                        c.subgroup_shuffle ? ", shuffle" : "");
    text += fmt::format("  types    fp32{}{}{}\n", c.storage_16bit ? ", fp16 storage" : "",
                        c.fp16_arithmetic ? ", fp16 arithmetic" : "",
                        c.mixed_dot_product ? ", dot products of fp16" : "");
    text += "  matrix   ";
    for (const CooperativeMatrixShape& shape : c.cooperative_matrix_shapes)
        text += fmt::format("{}x{}x{} {}*{}+{} ", shape.m, shape.n, shape.k, shape.a, shape.b, shape.c);
    text += c.cooperative_matrix_shapes.empty() ? "no matrix cores\n"
            : c.matrix_per_element              ? "per element\n"
                                                : "\n";
    text += "  tuning   " + tuning_text(c) + "\n";
    return text + "  kernels\n" + kernels_text(c, choices);
}

static void list_devices(const GlobalOptions& global, bool json) {
    const std::vector<Capabilities> devices = all_devices();
    const size_t selected = choose_device(devices, global.device);
    const KernelChoices choices = parse_kernel_choices(global.kernels);
    ResultWriter output;
    if (json) {
        JsonLine line;
        line.key("devices").begin_array();
        for (size_t i = 0; i < devices.size(); ++i) write_json(line, devices[i], i, i == selected, choices);
        line.end_array();
        output.line(line);
    } else {
        for (size_t i = 0; i < devices.size(); ++i)
            output.write(device_text(devices[i], i, i == selected, choices));
    }
    output.finish();
}

void add_devices_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("devices", "List Vulkan devices and the kernels each would use");
    auto json = std::make_shared<bool>(false);
    command->add_flag("--json", *json, "One JSON object with all devices");
    command->footer(R"(Examples:
  vkbert devices
  vkbert devices --json --device llvmpipe

The device marked as selected is the one that --device (or its default, auto) means.)");
    command->callback(
        [&context, json] { context.run = [&context, json] { list_devices(context.options, *json); }; });
}

}  // namespace vkbert::tools
