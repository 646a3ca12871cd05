// Push constants and sizes of matmul_pack.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_MATMUL_PACK_H
#define VKBERT_SHADERS_MATMUL_PACK_H
struct MatmulPackPush {
    uint k, k_symbol;  // Extent of the inner dimension
    uint n;
    uint pitch, strip_pitch;  // elements; the operand's, from strip to strip
};

const uint PACK_COLUMNS = 16;  // of a strip
const uint PACK_STEPS = 64;    // of K, of a workgroup; a strip has room for a multiple of them
#endif
