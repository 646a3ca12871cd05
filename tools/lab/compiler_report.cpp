#include "tools/lab/compiler_report.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

namespace vkbert::lab {
namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return char(std::tolower(c)); });
    return result;
}

/// One column of the table. Statistics of these names (in lower case, over all drivers) add up in it.
struct Column {
    std::string_view title;
    std::optional<double> Compiled::*field;
    std::vector<std::string_view> names;
};

const std::vector<Column>& columns() {
    static const std::vector<Column> table{
        {"width", &Compiled::width, {"max dispatch width"}},
        {"registers",
         &Compiled::registers,
         {"vgprs", "max live registers", "number of gprs", "registers used", "gprs"}},
        {"spills",
         &Compiled::spills,
         {"spilled sgprs", "spilled vgprs", "scratch size", "spill count", "fill count",
          "scratch memory size", "spills to memory", "fills from memory", "slm size", "stp count",
          "ldp count", "scratch", "spills", "fills"}},
        {"shared bytes", &Compiled::shared_bytes, {"lds size", "workgroup memory size"}},
        {"occupancy",
         &Compiled::occupancy,
         {"subgroups per simd", "max warps/sm", "max waves per core", "threads"}},
        {"instructions", &Compiled::instructions, {"instructions", "instruction count", "inst"}},
        {"cycles",
         &Compiled::cycles,
         {"latency", "cycle count", "static cycle count", "estimated cycles stalled on ss",
          "estimated cycles stalled on sy", "alu", "cycles"}},
        {"throughput", &Compiled::throughput, {"inverse throughput"}},
        {"code size", &Compiled::code_size, {"code size"}},
    };
    return table;
}

/// Cuts off what comes before the next separator, and the separator.
std::string_view take(std::string_view& text, char separator) {
    const size_t end = std::min(text.find(separator), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return taken;
}

}  // namespace

std::vector<PipelineStatistic> shader_db_statistics(std::string_view text) {
    const size_t mark = text.rfind("SHADER-DB: ");
    if (mark == std::string_view::npos) return {};
    std::string_view line = text.substr(mark);
    line = line.substr(0, line.find('\n'));
    constexpr std::string_view kind = "shader: ";
    const size_t begin = line.find(kind);
    if (begin == std::string_view::npos) return {};
    line.remove_prefix(begin + kind.size());
    std::vector<PipelineStatistic> statistics;
    while (!line.empty()) {
        std::string_view names = take(line, ',');
        while (names.starts_with(' ')) names.remove_prefix(1);
        std::string_view values = take(names, ' ');
        while (!values.empty() && !names.empty()) {
            const std::string value(take(values, ':'));
            statistics.push_back(
                {"", std::string(take(names, ':')), "", std::strtod(value.c_str(), nullptr)});
        }
    }
    return statistics;
}

std::vector<Compiled> summarize(const std::vector<PipelineStatistic>& statistics) {
    std::vector<Compiled> all;
    for (const PipelineStatistic& statistic : statistics) {
        if (all.empty() || all.back().executable != statistic.executable)
            all.push_back({.executable = statistic.executable});
        const std::string name = lower(statistic.name);
        for (const Column& column : columns()) {
            if (std::find(column.names.begin(), column.names.end(), name) == column.names.end()) continue;
            auto& value = all.back().*column.field;
            value = value.value_or(0) + statistic.value;
        }
    }
    return all;
}

std::string markdown(const std::vector<Row>& rows) {
    const auto filled = [&](const Column& column) {
        return std::any_of(rows.begin(), rows.end(),
                           [&](const Row& row) { return (row.compiled.*column.field).has_value(); });
    };
    const bool several = std::any_of(rows.begin(), rows.end(),
                                     [](const Row& row) { return !row.compiled.executable.empty(); });
    std::string text = "| op | variant | chosen | use |", line = "|---|---|---|---|";
    if (several) text += " width |", line += "---|";
    for (const Column& column : columns())
        if (filled(column)) text += fmt::format(" {} |", column.title), line += "---:|";
    text += "\n" + line + "\n";
    for (const Row& row : rows) {
        text += fmt::format("| {} | {} | {} | {} |", row.op, row.variant, row.chosen ? "yes" : "",
                            row.error.empty() ? row.use : row.use + ": " + row.error);
        if (several) text += fmt::format(" {} |", row.compiled.executable);
        for (const Column& column : columns()) {
            if (!filled(column)) continue;
            const auto& value = row.compiled.*column.field;
            text += value ? fmt::format(" {:.0f} |", *value) : " |";
        }
        text += "\n";
    }
    return text;
}

std::string json(const std::vector<Row>& rows) {
    nlohmann::json all = nlohmann::json::array();
    for (const Row& row : rows) {
        nlohmann::json one{{"op", row.op},         {"variant", row.variant}, {"use", row.use},
                           {"chosen", row.chosen}, {"error", row.error},     {"seconds", row.seconds}};
        if (!row.compiled.executable.empty()) one["executable"] = row.compiled.executable;
        for (const Column& column : columns())
            if (const auto& value = row.compiled.*column.field) one[std::string(column.title)] = *value;
        all.push_back(std::move(one));
    }
    return all.dump(1);
}

}  // namespace vkbert::lab
