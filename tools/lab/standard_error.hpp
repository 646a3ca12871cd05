// What drivers write on standard error, as text.
#pragma once

#include <cstdio>
#include <string>

namespace vkbert::lab {

/// While it lives, whatever this process writes on standard error goes into a temporary file.
class StandardErrorCapture {
  public:
    /// Throws failed when there is no room for a temporary file.
    StandardErrorCapture();
    ~StandardErrorCapture();
    StandardErrorCapture(const StandardErrorCapture&) = delete;

    /// What was written so far.
    std::string text() const;

  private:
    std::FILE* file_ = nullptr;
    int before_ = -1;
};

}  // namespace vkbert::lab
