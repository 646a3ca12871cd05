// What a driver's compiler told about pipelines, in words that are the same for all drivers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/pipelines.hpp"

namespace vkbert::lab {

/// One executable of one pipeline. What a compiler does not tell is absent.
struct Compiled {
    std::string executable{};           // "SIMD32": only where a pipeline has several
    std::optional<double> width{};      // subgroup size compiled for, where the compiler chooses it
    std::optional<double> registers{};  // of a lane (RADV: allocated VGPRs; Honeykrisp: of 16 bits)
    std::optional<double>
        spills{};  // to memory: spilled registers, their instructions and scratch bytes, added
    std::optional<double> shared_bytes{};  // of a workgroup
    std::optional<double>
        occupancy{};  // subgroups a SIMD (RADV), warps an SM (NVK), waves a core (Turnip), threads
    std::optional<double> instructions{};
    std::optional<double>
        cycles{};  // as the compiler estimates: RADV latency, ANV and NVK cycle count, Turnip cycles
                   // stalled, Honeykrisp ALU cycles, PanVK the busiest unit's. Comparable on one device only.
    std::optional<double> throughput{};  // RADV: busy cycles a wave (inverse throughput)
    std::optional<double> code_size{};   // bytes (Turnip: dwords)
};

/// Statistics by executable. Names differ from driver to driver (Mesa's RADV, ANV, Turnip, NVK, Honeykrisp,
/// PanVK and any other that says "spill"): registers a lane, spilled registers or scratch, subgroups in
/// flight, instructions, and the compiler's own estimate of cycles.
std::vector<Compiled> summarize(const std::vector<PipelineStatistic>& statistics);

/// What PanVK writes of a shader on standard error, where BIFROST_MESA_DEBUG=shaderdb asks for it, instead of
/// telling it through Vulkan: "SHADER-DB: MESA_SHADER_COMPUTE shader: 718 inst, 102.000000 cycles, ..., 6:44
/// spills:fills". The last such line of the text as statistics named inst, cycles, ..., spills, fills; empty
/// when there is none.
std::vector<PipelineStatistic> shader_db_statistics(std::string_view text);

/// One row of the table of a device.
struct Row {
    std::string op{}, variant{}, use{};
    bool chosen = false;
    std::string error{};  // empty: it compiled
    Compiled compiled{};
    double seconds = 0;  // to compile
};

/// A Markdown table. Columns that no row fills are left out.
std::string markdown(const std::vector<Row>& rows);
/// The same as one JSON array.
std::string json(const std::vector<Row>& rows);

}  // namespace vkbert::lab
