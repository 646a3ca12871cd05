// Activations of ops::Activation on vec4 and their derivatives, without infinities and without the drivers' tanh and exp of
// large arguments.
#ifndef VKBERT_ACTIVATION_GLSL
#define VKBERT_ACTIVATION_GLSL

const uint ACTIVATION_NONE = 0, ACTIVATION_GELU = 1, ACTIVATION_GELU_TANH = 2, ACTIVATION_RELU = 3, ACTIVATION_TANH = 4,
           ACTIVATION_SILU = 5, ACTIVATION_SIGMOID = 6;

const float LOG2_E = 1.4426950408889634;

// erfc(a / sqrt(2)) for a >= 0 is exp2 of a polynomial, fitted so that gelu() is within 4e-8 of the exact function in
// exact arithmetic. Beyond 8 it is below 1e-14.
vec4 normal_tails(vec4 a) {
    a = min(a, vec4(8.0));
    vec4 p = vec4(-4.27836836e-6);
    p = p * a + 1.27946738e-5;
    p = p * a + 5.75799029e-4;
    p = p * a - 7.67080626e-3;
    p = p * a + 5.29485829e-2;
    p = p * a + 0.45904392;
    p = p * a + 1.15112698;
    return exp2(-p * a);
}

// x Phi(x). Both halves from the tail, which is small where |x| is large: accurate relative to x for negative x too.
vec4 gelu(vec4 x) { return max(x, vec4(0.0)) - 0.5 * abs(x) * normal_tails(abs(x)); }

vec4 sigmoid(vec4 x) {
    const vec4 e = exp2(-LOG2_E * min(abs(x), vec4(80.0)));
    const vec4 r = 1.0 / (1.0 + e);
    return mix(e * r, r, greaterThanEqual(x, vec4(0.0)));
}

// x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), which is the tanh form of GELU.
vec4 gelu_tanh(vec4 x) {
    const vec4 c = clamp(x, vec4(-16.0), vec4(16.0));
    return x * sigmoid(1.5957691216057308 * (c + 0.044715 * c * c * c));
}

vec4 hyperbolic_tangent(vec4 x) {
    const vec4 e = exp2(-2.0 * LOG2_E * min(abs(x), vec4(40.0)));
    return sign(x) * (1.0 - e) / (1.0 + e);
}

vec4 activate(vec4 x, uint activation) {
    switch (activation) {
        case ACTIVATION_GELU: return gelu(x);
        case ACTIVATION_GELU_TANH: return gelu_tanh(x);
        case ACTIVATION_RELU: return max(x, vec4(0.0));
        case ACTIVATION_TANH: return hyperbolic_tangent(x);
        case ACTIVATION_SILU: return x * sigmoid(x);
        case ACTIVATION_SIGMOID: return sigmoid(x);
        default: return x;
    }
}

// Phi(x) + x phi(x).
vec4 gelu_slope(vec4 x) {
    const vec4 tail = 0.5 * normal_tails(abs(x));
    const vec4 c = clamp(x, vec4(-12.0), vec4(12.0));
    return mix(tail, 1.0 - tail, greaterThanEqual(x, vec4(0.0))) + 0.3989422804014327 * c * exp2(-0.5 * LOG2_E * c * c);
}

vec4 sigmoid_slope(vec4 x) {
    const vec4 e = exp2(-LOG2_E * min(abs(x), vec4(80.0)));
    const vec4 r = 1.0 / (1.0 + e);
    return e * r * r;
}

vec4 gelu_tanh_slope(vec4 x) {
    const vec4 c = clamp(x, vec4(-16.0), vec4(16.0));
    const vec4 inner = 1.5957691216057308 * (c + 0.044715 * c * c * c);
    return sigmoid(inner) + c * sigmoid_slope(inner) * (1.5957691216057308 + 0.2140644488 * c * c);
}

vec4 silu_slope(vec4 x) {
    const vec4 c = clamp(x, vec4(-80.0), vec4(80.0));
    return sigmoid(x) + c * sigmoid_slope(x);
}

// f'(x), zero for ReLU at zero.
vec4 activation_slope(vec4 x, uint activation) {
    switch (activation) {
        case ACTIVATION_GELU: return gelu_slope(x);
        case ACTIVATION_GELU_TANH: return gelu_tanh_slope(x);
        case ACTIVATION_RELU: return mix(vec4(0.0), vec4(1.0), greaterThan(x, vec4(0.0)));
        case ACTIVATION_TANH: return 4.0 * sigmoid_slope(2.0 * x);
        case ACTIVATION_SILU: return silu_slope(x);
        case ACTIVATION_SIGMOID: return sigmoid_slope(x);
        default: return vec4(1.0);
    }
}

#endif
