// What a call that must fail says.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "runtime/error.hpp"

namespace vkbert::test {

/// The message of the Error that `work` throws, whose code must be `code`; "accepted" when it throws nothing.
inline std::string refusal(const std::function<void()>& work, ErrorCode code = ErrorCode::invalid_argument) {
    try {
        work();
    } catch (const Error& e) {
        EXPECT_EQ(int(e.code()), int(code)) << e.what();
        return e.what();
    }
    return "accepted";
}

}  // namespace vkbert::test
