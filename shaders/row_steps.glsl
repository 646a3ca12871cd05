// Steps over a row whose vec4s the lanes of a workgroup take in turns: FOR_STEPS(f) calls f(s) for s from 0 to STEPS - 1, which is
// to be defined first. Where KEEPS_ROW is true, all in a row, so that an array indexed by s stays in registers.
//
// Else in a loop whose turns no driver knows (counts[0] is 0), since Mesa 22.3 unrolls what [[dont_unroll]] says it must not.
//
// CPU drivers have fast paths for loads and stores that stand in no loop, twice as fast (`vkbert bench layernorm-backward`), but
// would take seconds to compile a wide row so (ops::keeps_row).
#ifndef VKBERT_ROW_STEPS_GLSL
#define VKBERT_ROW_STEPS_GLSL

#if !defined(REDUCE_ONE_SUBGROUP) || defined(WIDE)
const bool KEEPS_ROW = true;
#else
layout(constant_id = 3) const bool KEEPS_ROW = true;
#endif
const uint KEPT_STEPS = KEEPS_ROW ? STEPS : 1;

float one_part() { return 1.0 / float(4 * COLUMNS4); }  // of a mean over the row

#define FOR_STEPS(f)                                                                      \
    if (KEEPS_ROW) {                                                                      \
        [[unroll]] for (uint s = 0; s < STEPS; s++) f(s);                                 \
    } else {                                                                              \
        [[dont_unroll]] for (uint s = 0, steps = STEPS + counts[0]; s < steps; s++) f(s); \
    }

// Calls f() for each `row` of the workgroup's: of a CPU driver p.block_rows, for which it holds on its stack, after hold(s) for
// each step, what all rows have in common.
#ifdef REDUCE_ONE_SUBGROUP
const bool HOLDS = KEEPS_ROW;
#define FOR_ROWS(f)                                                                             \
    if (HOLDS) FOR_STEPS(hold)                                                                  \
    const uint end = min((gl_WorkGroupID.x + 1) * p.block_rows, extent(p.rows, p.rows_symbol)); \
    for (row = gl_WorkGroupID.x * p.block_rows; row < end; row++) f();
#else
const bool HOLDS = false;
#define FOR_ROWS(f)         \
    row = gl_WorkGroupID.x; \
    f();
#endif
const uint HELD_STEPS = HOLDS ? STEPS : 1;

#endif
