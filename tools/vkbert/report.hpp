// One self-contained page about a training run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "runtime/profiler.hpp"

namespace vkbert::tools {

struct ReportContent {
    std::string title;
    std::vector<std::pair<std::string, std::string>> settings;  // name, value
    std::filesystem::path metrics;                              // metrics.jsonl
    std::vector<std::string> labels;                            // of the confusion matrix
    std::vector<uint64_t> confusion;  // (C,C), row truth, column predicted; may be empty
    Profile profile;                  // of optimizer steps; may be empty
};

/// Writes an HTML file that needs nothing but itself: loss, learning rate, gradient norm and evaluations as
/// plots, the confusion matrix, and the slowest dispatches. Errors: invalid_input for the metrics, failed for
/// the page.
void write_report(const std::filesystem::path& path, const ReportContent& content);

}  // namespace vkbert::tools
