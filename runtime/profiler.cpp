#include "runtime/profiler.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace vkbert {

std::string fold_label(const std::string& label) {
    const auto digit = [&](size_t i) { return std::isdigit(static_cast<unsigned char>(label[i])) != 0; };
    std::string folded;
    for (size_t begin = 0; begin < label.size();) {
        size_t end = begin;
        while (end < label.size() && digit(end)) ++end;
        const bool number = end > begin && (end == label.size() || label[end] == ' ');
        if (number) folded += '*';
        if (!number) end = std::min(label.find(' ', begin), label.size());
        if (!number) folded.append(label, begin, end - begin);
        if (end < label.size()) folded += ' ';
        begin = end + 1;
    }
    return folded;
}

void Profile::add(const std::vector<DispatchTime>& times) {
    ++runs_;
    for (const DispatchTime& t : times) {
        const Kernel& kernel = *t.dispatch->kernel;
        const std::pair key(fold_label(t.dispatch->label), fmt::format("{} {}", kernel.op, kernel.name));
        ProfileRow& row = rows_[key];
        std::tie(row.label, row.kernel) = key;
        ++row.calls;
        row.seconds += t.seconds;
        row.flops += t.flops;
        row.bytes += t.bytes;
    }
}

double Profile::seconds() const {
    double sum = 0;
    for (const auto& [key, row] : rows_) sum += row.seconds;
    return sum;
}

std::vector<ProfileRow> Profile::rows() const {
    const double total = seconds();
    std::vector<ProfileRow> rows;
    for (const auto& [key, row] : rows_) {
        rows.push_back(row);
        rows.back().share = total > 0 ? row.seconds / total : 0;
    }
    std::stable_sort(rows.begin(), rows.end(),
                     [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
    return rows;
}

namespace {

void append_row(std::string& text, const ProfileRow& row, size_t width, size_t runs,
                const Ceilings& ceilings) {
    // Times are of one run; a rate of 0 means that the plan does not say how much work it is.
    fmt::format_to(std::back_inserter(text), "{:<{}}  {:<20} {:>6} {:>10.3f} {:>6.1f}", row.label, width,
                   row.kernel, row.calls / runs, row.seconds / double(runs) * 1e3, row.share * 100);
    const auto rate = [&](double value, double ceiling) {
        text += value > 0 ? fmt::format(" {:>9.1f}", value) : fmt::format(" {:>9}", "-");
        if (ceiling > 0) text += value > 0 ? fmt::format(" {:>4.0f}%", value * 1e11 / ceiling) : "     -";
    };
    rate(row.gflops_per_second(), ceilings.flops_per_second);
    rate(row.gbytes_per_second(), ceilings.bytes_per_second);
    text += '\n';
}

}  // namespace

std::string Profile::table(const Ceilings& ceilings) const {
    const std::vector<ProfileRow> all = rows();
    size_t width = 8;
    ProfileRow total;
    total.label = "total";
    total.share = all.empty() ? 0 : 1;
    for (const ProfileRow& row : all) {
        width = std::max(width, row.label.size());
        total.calls += row.calls;
        total.seconds += row.seconds;
        total.flops += row.flops;
        total.bytes += row.bytes;
    }
    std::string text =
        fmt::format("{:<{}}  {:<20} {:>6} {:>10} {:>6} {:>9}{} {:>9}{}\n", "dispatch", width, "kernel",
                    "calls", "ms", "%", "GFLOP/s", ceilings.flops_per_second > 0 ? "  peak" : "", "GB/s",
                    ceilings.bytes_per_second > 0 ? "  peak" : "");
    const size_t runs = std::max<size_t>(runs_, 1);
    for (const ProfileRow& row : all) append_row(text, row, width, runs, ceilings);
    append_row(text, total, width, runs, ceilings);
    return text;
}

}  // namespace vkbert
