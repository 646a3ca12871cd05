// What the attention_forward shaders share. Needs attention.glsl first.
#ifndef VKBERT_ATTENTION_FORWARD_GLSL
#define VKBERT_ATTENTION_FORWARD_GLSL
#include "shaders/attention_forward.h"

layout(std430, binding = 4) writeonly buffer LogSumExp { float logsumexp[]; };  // (T,A)

// Natural logarithm of the sum of exp(score), from the largest score and the sum, both in powers of two.
float natural_logsumexp(float largest, float sum) { return (largest + log2(sum)) * LN_2; }

#endif
