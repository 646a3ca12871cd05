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

// -DWIDE, for CPU drivers that gather and scatter what differs between lanes (Mesa 26): 64 bits take the time of 32.
#ifdef WIDE
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
// Not pack64(), which crashes llvmpipe 26.1 with 16 lanes.
uint64_t pack_words(uint x, uint y) { return uint64_t(x) | uint64_t(y) << 32; }
vec4 unpack_floats(u64vec2 w) { return uintBitsToFloat(uvec4(unpack32(w.x), unpack32(w.y))); }
u64vec2 pack_floats(vec4 v) {
    const uvec4 w = floatBitsToUint(v);
    return u64vec2(pack_words(w.x, w.y), pack_words(w.z, w.w));
}
uint64_t pack_wide_halves(uvec2 w) { return pack_words(w.x, w.y); }
#define FLOAT4 u64vec2
#define UNPACK_FLOAT4(w) unpack_floats(w)
#define PACK_FLOAT4(v) pack_floats(v)
#define HALF4 uint64_t
#define UNPACK_HALF4(w) unpack_halves(unpack32(w))
#define PACK_HALF4(v) pack_wide_halves(pack_halves(v))
#else
#define FLOAT4 vec4
#define UNPACK_FLOAT4(v) (v)
#define PACK_FLOAT4(v) (v)
#define HALF4 uvec2
#define UNPACK_HALF4(w) unpack_halves(w)
#define PACK_HALF4(v) pack_halves(v)
#endif

#ifdef FP16
#define STORED4 HALF4
#define STORED4_BYTES 8
#define UNPACK4(w) UNPACK_HALF4(w)
#define PACK4(v) PACK_HALF4(v)
#else
#define STORED4 FLOAT4
#define STORED4_BYTES 16
#define UNPACK4(v) UNPACK_FLOAT4(v)
#define PACK4(v) PACK_FLOAT4(v)
#endif

#endif
