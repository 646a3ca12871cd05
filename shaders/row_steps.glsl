// Steps over a row whose vec4s the lanes of a workgroup take in turns: FOR_STEPS(f) calls f(s) for s from 0 to STEPS - 1, which is
// to be defined first. Where KEEPS_ROW is true, all in a row, so that an array indexed by s stays in registers.
//
// CPU drivers have fast paths for loads and stores that stand in no loop, twice as fast (`vkbert bench layernorm-backward`), but
// would take seconds to compile a wide row so.
#ifndef VKBERT_ROW_STEPS_GLSL
#define VKBERT_ROW_STEPS_GLSL

#ifdef REDUCE_ONE_SUBGROUP
const bool KEEPS_ROW = STEPS <= 48;
#else
const bool KEEPS_ROW = true;
#endif
const uint KEPT_STEPS = KEEPS_ROW ? STEPS : 1;

#define FOR_STEPS(f)                                          \
    if (KEEPS_ROW) {                                          \
        [[unroll]] for (uint s = 0; s < STEPS; s++) f(s);     \
    } else {                                                  \
        [[dont_unroll]] for (uint s = 0; s < STEPS; s++) f(s); \
    }

#endif
