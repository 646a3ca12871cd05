// TOUCH(data, first, count), -DWIDE alone: brings in the cache lines of STORED4s `first` to first + count - 1 of a buffer, the same
// for all lanes, by a scalar load each. llvmpipe gathers what differs between lanes, and from gathers Zen processors do not learn
// what to fetch ahead: a kernel that only reads takes twice as long without (`vkbert bench gradient-norm`, lanes and wide). What
// was read goes nowhere, but no compiler may know: write to after_touching(i) in place of i.
#ifndef VKBERT_TOUCH_GLSL
#define VKBERT_TOUCH_GLSL
#ifdef WIDE

uint touched = 0;
const uint LINE4 = 64 / STORED4_BYTES;
#define TOUCH(data, first, count) \
    for (uint touch = 0; touch < (count); touch += LINE4) touched |= uint(data[(first) + touch]);
// No count has index 0, which holds 0 (runtime/types.hpp).
uint after_touching(uint i) { return i + (touched & counts[0]); }

#else
#define TOUCH(data, first, count)
#define after_touching(i) (i)
#endif
#endif
