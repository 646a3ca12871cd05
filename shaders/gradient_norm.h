// Push constants of gradient_norm.comp and gradient_norm_finish.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_GRADIENT_NORM_H
#define VKBERT_SHADERS_GRADIENT_NORM_H
struct GradientNormPush {
    uint elements4;      // N / 4
    uint block4;         // of each workgroup
    uint first_partial;  // where this range's partial sums go
};
struct GradientNormFinishPush {
    uint partials;
};
#endif
