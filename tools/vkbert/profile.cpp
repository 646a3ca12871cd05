#include "tools/vkbert/profile.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>

#include "tools/vkbert/progress.hpp"

namespace vkbert::tools {

void add_step(Profile& profile, Trainer& trainer) {
    std::vector<DispatchTime> times = trainer.pass().recording().times();
    std::ranges::copy(trainer.optimizer().recording().times(), std::back_inserter(times));
    profile.add(times);
}

void print_profile(const GlobalOptions& options, Device& device, const Profile& profile) {
    Progress::clear_line();
    try {
        Ceilings ceilings;
        ceilings.bytes_per_second = measure_copy_bandwidth(device);
        ceilings.flops_per_second = measure_fma_rate(device);
        std::fputs(profile.table(ceilings).c_str(), stderr);
    } catch (const std::exception& error) {
        message(options, std::string("no profile: ") + error.what());
    }
}

}  // namespace vkbert::tools
