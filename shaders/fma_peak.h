// Push constants of fma_peak.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_FMA_PEAK_H
#define VKBERT_SHADERS_FMA_PEAK_H
struct FmaPeakPush {
    uint rounds_symbol;
    float factor, summand;  // every step: x = x * factor + summand
};
#endif
