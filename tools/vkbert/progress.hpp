// How far long work has come, on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace vkbert::tools {

/// On a terminal a bar with rate and time left, redrawn at most ten times a second; otherwise a plain line
/// every few seconds; nothing when quiet, and nothing for work that is over at once. One at a time.
class Progress {
  public:
    enum class Unit : uint8_t { count, bytes };
    /// label: what is being done. noun: what is counted ("texts"; unused for bytes). total 0: not known.
    Progress(bool quiet, std::string label, Unit unit, uint64_t total, std::string noun = "");
    /// Leaves a last plain line or clears the bar.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// Work that was there before we started: it counts towards the total, not towards the rate.
    void start_at(uint64_t done);
    void set_total(uint64_t total) { total_ = total; }
    void set(uint64_t done);
    void advance(uint64_t amount) { set(done_ + amount); }
    /// What is said behind the numbers from the next drawing on: "loss 0.61".
    void note(std::string text) { note_ = std::move(text); }

    /// Removes the bar, if one is shown, so that another line can be written.
    static void clear_line();

  private:
    using Clock = std::chrono::steady_clock;
    std::string text(bool bar) const;
    std::string amount(double value) const;
    void draw();

    bool quiet_, terminal_;
    std::string label_;
    Unit unit_;
    uint64_t total_, done_ = 0, begin_ = 0;
    std::string noun_, note_;
    Clock::time_point started_, drawn_;
    bool shown_ = false;
};

}  // namespace vkbert::tools
