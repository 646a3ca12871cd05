// Philox4x32 with 7 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3), and dropout
// made of it: one call decides 16 neighbouring columns, a byte each. Counters are logical coordinates, so that the mask
// depends on no tile size, variant or device; tools/selftest/reference_random.hpp computes the same on the host.
#ifndef VKBERT_RANDOM_GLSL
#define VKBERT_RANDOM_GLSL

uvec4 philox4x32_7(uvec4 counter, uvec2 key) {
    for (uint i = 0; i < 7; i++) {
        uint high0, low0, high1, low1;
        umulExtended(0xD2511F53u, counter.x, high0, low0);
        umulExtended(0xCD9E8D57u, counter.z, high1, low1);
        counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// Bytes of 16 columns: column c of the block has byte c % 4 (the lowest first) of word c / 4. state is ops::Dropout's,
// row that of the packed tokens; block is column / 16, or head << 16 | key / 16 with keys counted within their sequence.
uvec4 dropout_bytes(uvec4 state, uint site, uint row, uint block) {
    return philox4x32_7(uvec4(block, row, site, state.z), state.xy);
}

// Whether the four columns with the bytes of `word` are kept: where the byte is less than kept (1 to 256).
bvec4 dropout_keeps(uint word, uint kept) {
    const uvec4 bytes = (uvec4(word) >> uvec4(0, 8, 16, 24)) & 255u;
    return lessThan(bytes, uvec4(kept));
}
// What they are multiplied by: 0, or 256 / kept.
vec4 dropout_factors(uint word, uint kept) {
    return mix(vec4(0), vec4(256.0 / float(kept)), dropout_keeps(word, kept));
}

#endif
