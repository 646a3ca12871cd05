#include "tools/vkbert/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

// The terminal has one current line, so whether a bar stands on it is one fact for the whole program.
static std::atomic<bool> bar_on_line{false};

void Progress::clear_line() {
    if (bar_on_line.exchange(false)) std::fputs("\r\033[K", stderr);
}

Progress::Progress(bool quiet, std::string label, Unit unit, uint64_t total, std::string noun)
    : quiet_(quiet),
      terminal_(isatty(STDERR_FILENO) != 0),
      label_(std::move(label)),
      unit_(unit),
      total_(total),
      noun_(std::move(noun)),
      started_(Clock::now()),
      drawn_(started_) {}

Progress::~Progress() {
    if (terminal_)
        clear_line();
    else if (shown_ && !quiet_)
        std::fprintf(stderr, "%s\n", text(false).c_str());
}

void Progress::start_at(uint64_t done) {
    begin_ = done_ = done;
    started_ = Clock::now();
}

void Progress::set(uint64_t done) {
    done_ = done;
    if (quiet_) return;
    const auto since = Clock::now() - drawn_;
    if (since >= (terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000))) draw();
}

void Progress::draw() {
    drawn_ = Clock::now();
    shown_ = true;
    if (terminal_) {
        std::fprintf(stderr, "\r\033[K%s", text(true).c_str());
        std::fflush(stderr);
        bar_on_line = true;
    } else {
        std::fprintf(stderr, "%s\n", text(false).c_str());
    }
}

std::string Progress::amount(double value) const {
    return unit_ == Unit::bytes ? human_bytes(value) : fmt::format("{:.0f}", value);
}

static std::string duration(double seconds) {
    const auto s = static_cast<uint64_t>(seconds + 0.5);
    if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string Progress::text(bool bar) const {
    const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    const double rate = seconds > 0 ? static_cast<double>(done_ - begin_) / seconds : 0;
    std::string line = label_ + "  ";
    if (total_ != 0) {
        const double part = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
        if (bar) {
            constexpr size_t width = 24;
            const auto full = static_cast<size_t>(part * width);
            line += fmt::format("[{:#<{}}{:-<{}}] ", "", full, "", width - full);
        }
        line += fmt::format("{:3.0f}%  {} of {}", part * 100, amount(static_cast<double>(done_)),
                            amount(static_cast<double>(total_)));
    } else {
        line += amount(static_cast<double>(done_));
    }
    if (!noun_.empty()) line.append(" ").append(noun_);
    line += unit_ == Unit::bytes ? fmt::format("  {}/s", human_bytes(rate))
                                 : fmt::format("  {:.{}f}/s", rate, rate < 10 ? 1 : 0);
    if (total_ > done_ && rate > 0)
        line += fmt::format("  {} left", duration(static_cast<double>(total_ - done_) / rate));
    if (!note_.empty()) line.append("  ").append(note_);
    return line;
}

}  // namespace vkbert::tools
