// vkbert-compile-probe: creates the pipelines of every kernel variant that the device can run, as BERT uses
// them, and prints what the driver's compiler says of each.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <set>

#include "runtime/device.hpp"
#include "runtime/ops.hpp"
#include "tools/lab/bert_cases.hpp"
#include "tools/lab/compiler_report.hpp"
#include "tools/lab/standard_error.hpp"

namespace vkbert::lab {
namespace {

struct Probe {
    Device& device;
    PipelineCache pipelines{device};
    bool cpu_variants = false;
    std::vector<Row> rows{};
    std::set<std::pair<std::string, const Kernel*>> seen{};  // (constants, kernel): compiled already
    std::set<const Kernel*> compiled{};

    std::vector<Compiled> compile(const Dispatch& dispatch);
    void add(const Case& use, const Dispatch& dispatch, bool chosen);
    void run(const Case& use);
    size_t faults() const;
    size_t left_out() const;
};

std::string key_of(const Dispatch& dispatch) {
    std::string key;
    for (const uint32_t constant : dispatch.constants) key += fmt::format("{} ", constant);
    return key;
}

/// Both what the driver tells through Vulkan and what PanVK writes on standard error where asked to.
std::vector<Compiled> Probe::compile(const Dispatch& dispatch) {
    std::optional<StandardErrorCapture> capture;
    if (std::getenv("BIFROST_MESA_DEBUG") != nullptr) capture.emplace();
    std::vector<PipelineStatistic> statistics =
        pipelines.statistics(*dispatch.kernel, dispatch.constants, dispatch.push_size);
    if (statistics.empty()) pipelines.get(*dispatch.kernel, dispatch.constants, dispatch.push_size);
    if (capture)
        for (PipelineStatistic& statistic : shader_db_statistics(capture->text())) {
            if (!statistics.empty()) statistic.executable = statistics.front().executable;
            statistics.push_back(std::move(statistic));
        }
    return summarize(statistics);
}

void Probe::add(const Case& use, const Dispatch& dispatch, bool chosen) {
    if (!seen.insert({key_of(dispatch), dispatch.kernel}).second) {
        if (!chosen) return;
        // Compiled before for another use, where it was not the choice: the row says so once.
        for (Row& row : rows)
            if (row.op == use.op && row.variant == dispatch.kernel->name && row.use == use.title)
                row.chosen = true;
        return;
    }
    compiled.insert(dispatch.kernel);
    Row row{.op = std::string(dispatch.kernel->op),
            .variant = std::string(dispatch.kernel->name),
            .use = use.title,
            .chosen = chosen};
    const auto begin = std::chrono::steady_clock::now();
    std::vector<Compiled> executables;
    try {
        executables = compile(dispatch);
    } catch (const Error& error) {
        row.error = error.what();
    }
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (executables.empty()) executables.emplace_back();
    if (executables.size() == 1) executables[0].executable.clear();
    for (Compiled& executable : executables) {
        row.compiled = std::move(executable);
        rows.push_back(row);
    }
}

/// PanVK takes minutes over variants that need more than twice the registers there are, and they are never
/// chosen.
static bool can_compile(const Capabilities& c, const Kernel& kernel) {
    return satisfies(c, kernel) && (c.registers == 0 || kernel.requirements.registers <= 2 * c.registers);
}

/// The chosen variant first, then every other that can be forced.
void Probe::run(const Case& use) {
    const Capabilities& capabilities = device.capabilities();
    try {
        Plan plan(capabilities);
        use.build(plan);
        for (const Dispatch& dispatch : plan.dispatches()) add(use, dispatch, true);
    } catch (const Error& error) {
        // fp16 storage is an option of the device; anything else must be possible everywhere.
        if (error.code() != ErrorCode::unsupported || capabilities.storage_16bit)
            rows.push_back(
                {.op = use.op, .variant = "-", .use = use.title, .chosen = true, .error = error.what()});
        return;
    }
    std::set<std::string_view> names;
    for (const ops::KernelTable& table : ops::all_kernels()) {
        if (table.op != use.op) continue;
        for (const Kernel& kernel : table.kernels) {
            const bool wanted = cpu_variants || !kernel.requirements.cpu_only;
            if (!wanted || !can_compile(capabilities, kernel) || !names.insert(kernel.name).second) continue;
            try {
                Plan plan(capabilities, {{use.op, std::string(kernel.name)}});
                use.build(plan);
                for (const Dispatch& dispatch : plan.dispatches()) add(use, dispatch, false);
            } catch (const Error& error) {
                // This variant is none for this type or orientation; what no case compiles is found by
                // left_out().
                if (error.code() != ErrorCode::unsupported && error.code() != ErrorCode::invalid_argument)
                    throw;
            }
        }
    }
}

size_t Probe::faults() const {
    size_t count = 0;
    for (const Row& row : rows) {
        const bool spills = row.chosen && row.compiled.spills.value_or(0) > 0;
        if (row.error.empty() && !spills) continue;
        count++;
        fmt::print(stderr, "{} {} ({}): {}\n", row.op, row.variant, row.use,
                   spills ? fmt::format("chosen, and spills {:.0f}", *row.compiled.spills) : row.error);
    }
    return count;
}

/// Variants that the device can run and that no case compiled: a gap in bert_cases().
size_t Probe::left_out() const {
    size_t count = 0;
    for (const ops::KernelTable& table : ops::all_kernels())
        for (const Kernel& kernel : table.kernels) {
            if (compiled.count(&kernel) || !can_compile(device.capabilities(), kernel)) continue;
            if (kernel.requirements.cpu_only && !cpu_variants) continue;
            count++;
            fmt::print(stderr, "{} {}: no case uses it\n", kernel.op, kernel.name);
        }
    return count;
}

int probe(const std::string& wanted, const std::string& title, const std::string& json_file,
          const std::string& only_op) {
    const auto device = open_device(wanted, "");
    const Capabilities& capabilities = device->capabilities();
    Probe probe{.device = *device};
    probe.cpu_variants = capabilities.device_class == DeviceClass::cpu;
    for (const Case& use : bert_cases())
        if (only_op.empty() || use.op == only_op) probe.run(use);
    const size_t faults = probe.faults() + (only_op.empty() ? probe.left_out() : 0);
    fmt::print("## {}\n\n{}, {}. {} pipelines.\n\n{}\n", title.empty() ? capabilities.device_name : title,
               capabilities.device_name, capabilities.driver_info, probe.rows.size(), markdown(probe.rows));
    if (!json_file.empty() && !(std::ofstream(json_file) << json(probe.rows) << "\n"))
        fail(ErrorCode::failed, "{}: cannot be written", json_file);
    return faults == 0 ? 0 : 1;
}

}  // namespace
}  // namespace vkbert::lab

int main(int argc, char** argv) {
    CLI::App app{
        "Creates every kernel variant's pipelines and prints what the driver's compiler says of each"};
    std::string device = "auto", title, json, op;
    app.add_option("--device", device, "auto, an index or a part of the name");
    app.add_option("--title", title, "heading of the table");
    app.add_option("--json", json, "also write the rows to this file");
    app.add_option("--op", op, "only the uses of this op");
    CLI11_PARSE(app, argc, argv);
    try {
        return vkbert::lab::probe(device, title, json, op);
    } catch (const std::exception& error) {
        fmt::print(stderr, "vkbert-compile-probe: {}\n", error.what());
        return 2;
    }
}
