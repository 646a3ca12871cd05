// A block: LOCAL_SIZE x 4 consecutive elements, from element 4 * first on, `first` the same for all lanes; of which each lane has four.
//
//   LOAD_BLOCK(NAME, first), STORE_BLOCK(NAME, first, v)     of a tensor of the type of the build
//   LOAD_FLOATS(NAME, first), STORE_FLOATS(NAME, first, v)   of an fp32 tensor
//   STORE_HALVES(NAME, first, v)                             of an fp16 tensor
//   TOUCH_BLOCK(NAME, first), KEEP_TOUCHED(NAME)             before a STORE_BLOCK to what was not loaded, and once at the end
//
// NAME_data is a buffer of STORED4, vec4 or uvec2, which -DTEXEL replaces by NAME_texels where a tensor is read, and -DWIDE by
// NAME_address everywhere. Needs common.glsl first.
//
// -DWIDE is for CPU drivers that gather and scatter whatever differs between lanes, also what is consecutive (Mesa 26's llvmpipe).
// They load from an address that all lanes share once, as a scalar and without a test, and of LOCAL_SIZE such loads side by side, of
// which each lane takes the one of its number, LLVM makes one load of a vector. Stores are scattered, 64 bits in the time of 32, and
// through addresses without a bound. A Zen processor does not learn from scattered stores what to fetch ahead, and each waits for its
// lines where they are not in a cache; so a load of each line comes before (TOUCH_BLOCK): LayerNorm of 8,192 rows takes 1.8 ms in
// place of 2.7.
// `vkbert bench layernorm` and `adamw` show it: `wide` beside `lanes`. A workgroup is one subgroup and blocks are whole; lane l has
// pairs of elements l and LOCAL_SIZE + l. What is loaded may lie up to Plan::read_slack behind a tensor, and must be readable even
// where no lane is active.
#ifndef VKBERT_BLOCKS_GLSL
#define VKBERT_BLOCKS_GLSL
#include "shaders/texel.glsl"

#ifdef WIDE
#include "shaders/lane_loads.glsl"

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer FloatPairs { uint64_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer HalfPairs { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer FloatPairsOut { uint64_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer HalfPairsOut { uint at[]; };

LANE_LOAD(float_pair_of_lane, uint64_t, FloatPairs)
LANE_LOAD(half_pair_of_lane, uint, HalfPairs)

// 0, which no count has as its index (runtime/types.hpp); but LLVM does not know. It would load the lower halves of pairs one by
// one if it could, in place of vectors, hence a shift by this.
uint no_shift = counts[0];
uvec2 halves_of(uint64_t pair) { return uvec2(uint(pair >> no_shift), uint(pair >> 32)); }

uvec4 load_block_bits(uint64_t address, uint first) {
    FloatPairs pairs = FloatPairs(address + uint64_t(first) * 16);
    return uvec4(halves_of(float_pair_of_lane(pairs, 0)), halves_of(float_pair_of_lane(pairs, LOCAL_SIZE)));
}
vec4 load_block_floats(uint64_t address, uint first) { return uintBitsToFloat(load_block_bits(address, first)); }
vec4 load_block_halves(uint64_t address, uint first) {
    HalfPairs pairs = HalfPairs(address + uint64_t(first) * 8);
    return unpack_halves(uvec2(half_pair_of_lane(pairs, 0), half_pair_of_lane(pairs, LOCAL_SIZE)));
}

// Not pack64(), which crashes llvmpipe 26.1 with 16 lanes.
uint64_t pack_words(uint x, uint y) { return uint64_t(x) | uint64_t(y) << 32; }
void store_block_floats(uint64_t address, uint first, vec4 v) {
    FloatPairsOut pairs = FloatPairsOut(address + uint64_t(first) * 16);
    const uvec4 bits = floatBitsToUint(v);
    pairs.at[gl_SubgroupInvocationID] = pack_words(bits.x, bits.y);
    pairs.at[gl_SubgroupInvocationID + LOCAL_SIZE] = pack_words(bits.z, bits.w);
}
void store_block_halves(uint64_t address, uint first, vec4 v) {
    HalfPairsOut pairs = HalfPairsOut(address + uint64_t(first) * 8);
    const uvec2 bits = pack_halves(v);
    pairs.at[gl_SubgroupInvocationID] = bits.x;
    pairs.at[gl_SubgroupInvocationID + LOCAL_SIZE] = bits.y;
}

// v, for sums that a loop adds to before they are stored: LLVM would give them registers, and places on the stack, of the size of
// their pairs, twice that of vectors.
#define AS_VECTOR(v) ((v) + float(no_shift))

// What was loaded of lines to be stored to. KEEP_TOUCHED, which would store it if counts[0] were not 0, keeps LLVM from dropping it.
uint64_t touched = 0;
void touch_block(uint64_t address, uint first) {
    FloatPairs pairs = FloatPairs(address + uint64_t(first) * STORED4_BYTES);
    for (uint pair = 0; pair < LOCAL_SIZE * STORED4_BYTES / 8; pair += 64 / 8) touched |= pairs.at[pair];
}
#define TOUCH_BLOCK(NAME, first) touch_block(NAME##_address, first);
#define KEEP_TOUCHED(NAME) \
    if ((uint(touched) & no_shift) != 0u) FloatPairsOut(NAME##_address).at[0] = touched;

#define LOAD_FLOATS(NAME, first) load_block_floats(NAME##_address, first)
#define STORE_FLOATS(NAME, first, v) store_block_floats(NAME##_address, first, v);
#define STORE_HALVES(NAME, first, v) store_block_halves(NAME##_address, first, v);
#ifdef FP16
#define LOAD_BLOCK(NAME, first) load_block_halves(NAME##_address, first)
#define STORE_BLOCK(NAME, first, v) STORE_HALVES(NAME, first, v)
#else
#define LOAD_BLOCK(NAME, first) LOAD_FLOATS(NAME, first)
#define STORE_BLOCK(NAME, first, v) STORE_FLOATS(NAME, first, v)
#endif

#else

#define AS_VECTOR(v) (v)
#define TOUCH_BLOCK(NAME, first)
#define KEEP_TOUCHED(NAME)
#define IN_BLOCK(first) ((first) + gl_LocalInvocationID.x)
#ifdef TEXEL
#define LOAD_FLOATS(NAME, first) texelFetch(NAME##_texels, int(IN_BLOCK(first)))
#define LOAD_BLOCK(NAME, first) FETCH4(NAME##_texels, IN_BLOCK(first))
#else
#define LOAD_FLOATS(NAME, first) NAME##_data[IN_BLOCK(first)]
#define LOAD_BLOCK(NAME, first) UNPACK4(NAME##_data[IN_BLOCK(first)])
#endif
#define STORE_FLOATS(NAME, first, v) NAME##_data[IN_BLOCK(first)] = v;
#define STORE_HALVES(NAME, first, v) NAME##_data[IN_BLOCK(first)] = pack_halves(v);
#define STORE_BLOCK(NAME, first, v) NAME##_data[IN_BLOCK(first)] = PACK4(v);

#endif
#endif
