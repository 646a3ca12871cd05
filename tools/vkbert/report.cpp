#include "tools/vkbert/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/error.hpp"
#include "runtime/files.hpp"
#include "tools/vkbert/report_page.hpp"

namespace vkbert::tools {

namespace {

std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '&')
            result += "&amp;";
        else if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '"')
            result += "&quot;";
        else
            result += c;
    }
    return result;
}

constexpr std::pair<const char*, const char*> series[] = {{"loss", "loss"},
                                                          {"learning_rate", "learning rate"},
                                                          {"grad_norm", "gradient norm"},
                                                          {"tokens_per_second", "tokens a second"}};

/// Points by title, in the order in which the titles first come.
nlohmann::json plots_of(const std::filesystem::path& metrics) {
    std::vector<std::pair<std::string, nlohmann::json>> plots;
    const auto add = [&](const std::string& title, const nlohmann::json& step, const nlohmann::json& value) {
        if (!value.is_number()) return;
        auto at = std::ranges::find(plots, title, &std::pair<std::string, nlohmann::json>::first);
        if (at == plots.end()) at = plots.insert(at, {title, nlohmann::json::array()});
        at->second.push_back({step, value});
    };
    std::istringstream lines(read_text_file(metrics, 1ull << 30));
    for (std::string text; std::getline(lines, text);) try {
            const nlohmann::json line = nlohmann::json::parse(text);
            const nlohmann::json& step = line.at("step");
            if (line.contains("eval"))
                for (const auto& [name, value] : line.at("eval").items())
                    add("evaluation: " + name, step, value);
            else
                for (const auto& [name, title] : series)
                    if (line.contains(name)) add(title, step, line.at(name));
        } catch (const nlohmann::json::exception& error) {
            fail(ErrorCode::invalid_input, "{}: {}", metrics.string(), error.what());
        }
    nlohmann::json result = nlohmann::json::array();
    for (auto& [title, points] : plots)
        result.push_back(
            {{"title", title}, {"noisy", title != "learning rate"}, {"points", std::move(points)}});
    return result;
}

std::string cell(std::string_view text, const char* element = "td") {
    return fmt::format("<{0}>{1}</{0}>", element, escaped(text));
}

std::string confusion_table(const ReportContent& c) {
    const size_t n = c.labels.size();
    if (c.confusion.empty() || c.confusion.size() != n * n) return {};
    std::string text = "<h2>Confusion</h2>\n<div class=\"wide\"><table><tr><th>truth \\ predicted</th>";
    for (const std::string& label : c.labels) text += cell(label, "th");
    text += "<th>right</th></tr>\n";
    for (size_t truth = 0; truth < n; ++truth) {
        uint64_t sum = 0;
        for (size_t p = 0; p < n; ++p) sum += c.confusion[truth * n + p];
        text += "<tr>" + cell(c.labels[truth]);
        for (size_t p = 0; p < n; ++p) {
            const uint64_t count = c.confusion[truth * n + p];
            text += fmt::format("<td style=\"background:rgb(53 105 184 / {:.2f})\">{}</td>",
                                sum ? 0.6 * double(count) / double(sum) : 0, count);
        }
        text += cell(sum ? fmt::format("{:.1f}%", 100 * double(c.confusion[truth * n + truth]) / double(sum))
                         : "");
        text += "</tr>\n";
    }
    return text + "</table></div>\n";
}

/// The slowest kinds of dispatches of a step.
std::string profile_table(const Profile& profile) {
    constexpr size_t most = 20;
    const std::vector<ProfileRow> rows = profile.rows();
    if (rows.empty()) return {};
    std::string text =
        "<h2>Slowest dispatches of a step</h2>\n<div "
        "class=\"wide\"><table><tr><th>dispatch</th><th>kernel</th>"
        "<th>calls</th><th>ms</th><th>share</th><th>GFLOP/s</th><th>GB/s</th></tr>\n";
    const double runs = double(profile.runs());
    for (size_t i = 0; i < std::min(most, rows.size()); ++i) {
        const ProfileRow& row = rows[i];
        text += "<tr>" + cell(row.label) + cell(row.kernel) +
                cell(fmt::format("{:.0f}", double(row.calls) / runs)) +
                cell(fmt::format("{:.2f}", row.seconds / runs * 1e3)) +
                cell(fmt::format("{:.1f}%", 100 * row.share)) +
                cell(row.flops > 0 ? fmt::format("{:.1f}", row.gflops_per_second()) : "") +
                cell(fmt::format("{:.1f}", row.gbytes_per_second())) + "</tr>\n";
    }
    return text + "</table></div>\n";
}

/// The page with what stands in for its {{marks}}.
std::string filled(const std::map<std::string_view, std::string>& values) {
    std::string result;
    std::string_view rest = report_page;
    for (size_t begin = 0; (begin = rest.find("{{")) != std::string_view::npos;) {
        const size_t end = rest.find("}}", begin);
        result += rest.substr(0, begin);
        result += values.at(rest.substr(begin + 2, end - begin - 2));
        rest.remove_prefix(end + 2);
    }
    return result += rest;
}

}  // namespace

void write_report(const std::filesystem::path& path, const ReportContent& c) {
    // "<" within the data must not end the element that holds it.
    std::string data = nlohmann::json({{"plots", plots_of(c.metrics)}}).dump(), settings;
    for (size_t at = 0; (at = data.find('<', at)) != std::string::npos;) data.replace(at, 1, "\\u003c");
    for (const auto& [name, value] : c.settings) settings += "<tr>" + cell(name) + cell(value) + "</tr>\n";
    AtomicFile file(path);
    file.write(filled({{"title", escaped(c.title)},
                       {"settings", settings},
                       {"tables", confusion_table(c) + profile_table(c.profile)},
                       {"data", data}}));
    file.commit();
}

}  // namespace vkbert::tools
