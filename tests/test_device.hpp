// The device that tests share. VKBERT_TEST_DEVICE names it (as choose_device() takes it); without it the best
// one is used. VKBERT_VALIDATION=1 puts the validation layers in between.
#pragma once

#include <string>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/pipelines.hpp"

namespace vkbert::test {

/// The device of this process, opened on first use, and its pipelines.
Device& device();
PipelineCache& pipelines();

/// Another device on the same physical one, as an engine or a second context would have; with the same
/// messages.
std::unique_ptr<Device> another_device(const std::string& pipeline_cache_folder);

/// The instance and the physical device of device().
const Instance& instance();
VkPhysicalDevice physical_device();

/// What the validation layers said since the last call. OpRun::execute() fails the test on any; tests that
/// use the device in other ways can do the same.
std::vector<std::string> take_validation_messages();

}  // namespace vkbert::test
