#version 450
#extension GL_GOOGLE_include_directive : require
// Multiply-adds in registers and nothing else: the ceiling that other kernels' GFLOP/s are compared with.
// counts[symbol] rounds of 12 independent chains of 16 steps an invocation.
#include "shaders/common.glsl"
#include "shaders/fma_peak.h"
layout(std430, binding = 1) writeonly buffer Output { float result[]; };
layout(push_constant) uniform Push { FmaPeakPush p; };

#define CHAINS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define START(i) float x##i = float(gl_LocalInvocationID.x + uint(i));
#define STEP(i) x##i = x##i * factor + summand;
#define STEPS4 CHAINS(STEP) CHAINS(STEP) CHAINS(STEP) CHAINS(STEP)
#define ADD(i) sum += x##i;

void main() {
    const float factor = p.factor, summand = p.summand;
    CHAINS(START)
    const uint rounds = counts[p.rounds_symbol];
    for (uint round = 0; round < rounds; ++round) { STEPS4 STEPS4 STEPS4 STEPS4 }
    float sum = 0;
    CHAINS(ADD)
    result[gl_GlobalInvocationID.x] = sum;
}
