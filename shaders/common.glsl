// Typed loads and stores, and the run-time counts. Every shader includes this first.
//
// Conventions: specialization constant 0 is local_size_x. Binding 0 is the plan's count buffer. fp32 tensors are read as
// vec4, fp16 tensors as uvec2 (four packed halves), so that no 16-bit feature is needed; compile with -DFP16 for the
// latter. All arithmetic is fp32. Nothing may depend on isnan, isinf or arithmetic with infinities: drivers may assume
// them away. Every invocation reaches every barrier(). No float atomics.
#ifndef VKBERT_COMMON_GLSL
#define VKBERT_COMMON_GLSL

layout(constant_id = 0) const uint LOCAL_SIZE = 1;
layout(local_size_x_id = 0) in;

layout(std430, binding = 0) readonly buffer Counts { uint counts[]; };

// The run-time value of an Extent{capacity, symbol} (runtime/types.hpp).
uint extent(uint capacity, uint symbol) { return symbol == 0u ? capacity : min(counts[symbol], capacity); }

vec4 unpack_halves(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }
uvec2 pack_halves(vec4 v) { return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw)); }

#ifdef FP16
#define STORED4 uvec2
#define STORED4_BYTES 8
#define UNPACK4(w) unpack_halves(w)
#define PACK4(v) pack_halves(v)
#else
#define STORED4 vec4
#define STORED4_BYTES 16
#define UNPACK4(v) (v)
#define PACK4(v) (v)
#endif

#endif
