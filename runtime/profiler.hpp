// Where the time goes: dispatch times added up by what the dispatches are, and the ceilings to compare them
// with.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/recording.hpp"

namespace vkbert {

/// "layer 3 ffn1" -> "layer * ffn1": every word that is a number becomes a star.
std::string fold_label(const std::string& label);

/// All dispatches with one folded label and one kernel variant.
struct ProfileRow {
    std::string label;   // folded
    std::string kernel;  // "matmul tiled"
    size_t calls = 0;
    double seconds = 0, share = 0;  // share: of the time of all rows
    double flops = 0, bytes = 0;    // as the plan states them
    double gflops_per_second() const { return seconds > 0 ? flops / seconds * 1e-9 : 0; }
    double gbytes_per_second() const { return seconds > 0 ? bytes / seconds * 1e-9 : 0; }
};

/// What the device does at best, measured: bytes and floating-point operations a second.
struct Ceilings {
    double bytes_per_second = 0, flops_per_second = 0;
};

class Profile {
  public:
    /// Adds one run: what Recording::times() returned.
    void add(const std::vector<DispatchTime>& times);
    size_t runs() const { return runs_; }
    double seconds() const;
    /// Longest first.
    std::vector<ProfileRow> rows() const;
    /// The rows as text, with percents of the ceilings where these are given (not 0), and a line of totals.
    std::string table(const Ceilings& ceilings = {}) const;

  private:
    std::map<std::pair<std::string, std::string>, ProfileRow> rows_;
    size_t runs_ = 0;
};

/// A copy in device memory, 128 MiB read and written at most, to be timed in turns with other work. The
/// device must outlive it. Errors: those of Buffer and Recording.
class CopyTimer {
  public:
    explicit CopyTimer(Device& device);
    ~CopyTimer();
    /// Bytes a second, read and written together, of one copy.
    double run();

  private:
    class Copy;
    std::unique_ptr<PipelineCache> pipelines_;
    std::unique_ptr<Copy> best_;  // of the ways to copy
};

/// The fastest of a few runs of CopyTimer.
double measure_copy_bandwidth(Device& device);

/// fp32 operations a second (a multiply-add is two) in registers. Takes some 200 ms.
double measure_fma_rate(Device& device);

}  // namespace vkbert
