// vkbert selftest: every kernel variant that the device can run against a reference in double precision on
// the CPU.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <memory>

#include "runtime/error.hpp"
#include "tools/selftest/checks.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/inference.hpp"
#include "tools/vkbert/output.hpp"

namespace vkbert::tools {

/// The largest error of `repeat` runs, or why the variant does not run here.
static double run_variant(Device& device, const Check& check, const Kernel& kernel, uint64_t seed,
                          uint32_t repeat, std::string& skipped) {
    double error = 0;
    try {
        PipelineCache pipelines(device);
        for (uint32_t i = 0; i < repeat && error <= 1; ++i) {
            OpRun run(device, pipelines, {{std::string(check.op), std::string(kernel.name)}});
            const double now = check.run(run, seed + 1000 * i);
            if (!(now <= error)) error = now;
            if (std::ranges::none_of(run.plan().dispatches(), [&](const Dispatch& d) {
                    return d.kernel->op == kernel.op && d.kernel->name == kernel.name;
                })) {
                skipped = "the test's shape is not what it is made for";
                break;
            }
        }
    } catch (const Error& e) {
        if (e.code() != ErrorCode::unsupported) throw;
        skipped = e.what();
    }
    return error;
}

static void selftest(const GlobalOptions& global, uint32_t repeat) {
    const std::unique_ptr<Device> device = open_device(global);
    const KernelChoices forced = parse_kernel_choices(global.kernels);
    ResultWriter output;
    std::string mismatches;
    size_t passed = 0;
    for (const Check& check : all_checks()) {
        if (check.needs_fp16 && !device->capabilities().storage_16bit) continue;
        for (const Kernel& kernel : check.kernels) {
            const auto choice = forced.find(check.op);
            if (choice != forced.end() && choice->second != kernel.name) continue;
            if (!satisfies(device->capabilities(), kernel)) continue;
            std::string skipped;
            const double error = run_variant(*device, check, kernel, global.seed + 1, repeat, skipped);
            const bool good = error <= 1;
            JsonLine line;
            line.field("op", check.op).field("variant", kernel.name).field("type", check.type);
            if (skipped.empty())
                line.field("passed", good).field("error", error);
            else
                line.field("skipped", skipped);
            output.line(line);
            if (!good)
                mismatches += fmt::format("{}{}={} ({})", mismatches.empty() ? "" : ", ", check.op,
                                          kernel.name, check.type);
            passed += good && skipped.empty();
        }
    }
    output.finish();
    const std::string& name = device->capabilities().device_name;
    if (!mismatches.empty())
        fail(ErrorCode::failed, "{}: wrong results from {}; update the driver, or avoid them with --kernel",
             name, mismatches);
    message(global, fmt::format("{}: all {} kernel variants agree with the reference", name, passed));
}

void add_selftest_command(CLI::App& app, Context& context) {
    CLI::App* command = app.add_subcommand("selftest", "Check every kernel variant against a CPU reference");
    auto repeat = std::make_shared<uint32_t>(1);
    command->add_option("--repeat", *repeat, "Check each variant this often, with other numbers")
        ->type_name("N")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    command->footer(R"(Examples:
  vkbert selftest
  vkbert selftest --repeat 100 --kernel matmul=plain

error is the largest one as a part of what rounding explains; above 1 is a mismatch, and the exit code is 1.)");
    command->callback(
        [&context, repeat] { context.run = [&context, repeat] { selftest(context.options, *repeat); }; });
}

}  // namespace vkbert::tools
