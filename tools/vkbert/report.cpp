#include "tools/vkbert/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/error.hpp"
#include "runtime/files.hpp"

namespace vkbert::tools {

namespace {

constexpr std::string_view head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
)";

constexpr std::string_view style = R"(<style>
:root { color-scheme: light dark; --line: #3569b8; --soft: #9bb4d6; --rule: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: currentColor; }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; border: 1px solid var(--rule); text-align: right; }
th:first-child, td:first-child { text-align: left; } pre { overflow-x: auto; font-size: 12px; }
</style></head><body>
)";

// Draws every series of `data.plots`: {title, points: [[step, value], ...]}; noisy ones with a running mean
// on top.
constexpr std::string_view script = R"js(<script>
const W = 440, H = 220, L = 56, R = 8, T = 10, B = 26;
const tag = (name, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return node;
};
const short = v => v === 0 ? "0" : Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5 ? v.toExponential(1) : String(+v.toPrecision(4));
function ticks(low, high) {
  const span = high - low || Math.abs(high) || 1, base = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map(f => f * base).find(s => span / s <= 5), list = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) list.push(v);
  return list;
}
function running(points) {
  const half = Math.floor(points.length / 40);
  if (half < 1) return null;
  return points.map((p, i) => {
    const part = points.slice(Math.max(0, i - half), i + half + 1);
    return [p[0], part.reduce((sum, q) => sum + q[1], 0) / part.length];
  });
}
function plot(title, points) {
  const xs = points.map(p => p[0]), ys = points.map(p => p[1]);
  const x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = Math.min(...ys), y1 = Math.max(...ys);
  const x = v => L + (W - L - R) * (x1 > x0 ? (v - x0) / (x1 - x0) : .5);
  const y = v => H - B - (H - T - B) * (y1 > y0 ? (v - y0) / (y1 - y0) : .5);
  const svg = tag("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title});
  for (const v of ticks(y0, y1)) {
    svg.append(tag("line", {x1: L, x2: W - R, y1: y(v), y2: y(v), stroke: "var(--rule)"
}));
svg.append(tag("text", {x : L - 6, y : y(v) + 4, "text-anchor" : "end"}, short(v)));
}
for (const v of ticks(x0, x1))
    svg.append(tag("text", {x : x(v), y : H - 8, "text-anchor" : "middle"}, short(v)));
const draw = (list, color, width) = > svg.append(tag("polyline", {
    fill : "none",
    stroke : color,
    "stroke-width" : width,
    points :
        list.map(
                p = > `${x(p[0])}, $ { y(p[1]) }`)
            .join(" ")
}));
const mean = running(points);
draw(points, mean ? "var(--soft)" : "var(--line)", mean ? 1 : 2);
if (mean) draw(mean, "var(--line)", 2);
if (points.length < 30)
    for (const p of points) {
        const dot = tag("circle", {cx : x(p[0]), cy : y(p[1]), r : 3, fill : "var(--line)"});
        dot.append(tag(
            "title", {}, `step ${p[0]}
            : $ { p[1] }`));
        svg.append(dot);
    }
const figure = document.createElement("figure"), caption = document.createElement("figcaption");
figure.style.margin = 0;
caption.textContent = title;
figure.append(caption, svg);
return figure;
}
const data = JSON.parse(document.getElementById("data").textContent);
for (const {title, points} of data.plots) document.querySelector(".plots").append(plot(title, points));
</script>
</body></html>
)js";

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
                for (const char* name : {"loss", "learning_rate", "grad_norm", "tokens_per_second"})
                    if (line.contains(name)) add(name, step, line.at(name));
        } catch (const nlohmann::json::exception& error) {
            fail(ErrorCode::invalid_input, "{}: {}", metrics.string(), error.what());
        }
    nlohmann::json result = nlohmann::json::array();
    for (auto& [title, points] : plots) result.push_back({{"title", title}, {"points", std::move(points)}});
    return result;
}

std::string confusion_table(const ReportContent& c) {
    std::string text = "<h2>Confusion</h2>\n<table><tr><th>truth \\ predicted</th>";
    const size_t n = c.labels.size();
    for (const std::string& label : c.labels) text += "<th>" + escaped(label) + "</th>";
    text += "<th>right</th></tr>\n";
    for (size_t truth = 0; truth < n; ++truth) {
        uint64_t sum = 0;
        for (size_t p = 0; p < n; ++p) sum += c.confusion[truth * n + p];
        text += "<tr><td>" + escaped(c.labels[truth]) + "</td>";
        for (size_t p = 0; p < n; ++p) {
            const uint64_t count = c.confusion[truth * n + p];
            text += fmt::format("<td style=\"background:rgb(53 105 184 / {:.2f})\">{}</td>",
                                sum ? 0.6 * double(count) / double(sum) : 0, count);
        }
        text += sum ? fmt::format("<td>{:.1f}%</td></tr>\n",
                                  100 * double(c.confusion[truth * n + truth]) / double(sum))
                    : "<td></td></tr>\n";
    }
    return text + "</table>\n";
}

}  // namespace

void write_report(const std::filesystem::path& path, const ReportContent& c) {
    // "<" within the data must not end the element that holds it.
    std::string data = nlohmann::json({{"plots", plots_of(c.metrics)}}).dump();
    for (size_t at = 0; (at = data.find('<', at)) != std::string::npos;) data.replace(at, 1, "\\u003c");
    AtomicFile file(path);
    file.write(head);
    file.write("<title>" + escaped(c.title) + "</title>\n");
    file.write(style);
    file.write("<h1>" + escaped(c.title) + "</h1>\n<table>");
    for (const auto& [name, value] : c.settings)
        file.write("<tr><td>" + escaped(name) + "</td><td>" + escaped(value) + "</td></tr>\n");
    file.write("</table>\n<h2>Training</h2>\n<div class=\"plots\"></div>\n");
    if (!c.confusion.empty() && c.confusion.size() == c.labels.size() * c.labels.size())
        file.write(confusion_table(c));
    if (!c.profile.empty())
        file.write("<h2>Where the time of a pass goes</h2>\n<pre>" + escaped(c.profile) + "</pre>\n");
    file.write("<script type=\"application/json\" id=\"data\">" + data + "</script>\n");
    file.write(script);
    file.commit();
}

}  // namespace vkbert::tools
