// Tensors as uniform texel buffers of four elements a texel: what CPU drivers load fastest. Needs common.glsl first.
#ifndef VKBERT_TEXEL_GLSL
#define VKBERT_TEXEL_GLSL
#ifdef FP16
#define TEXELS4 usamplerBuffer
#define FETCH4(texels, i) unpack_halves(texelFetch(texels, int(i)).xy)
#else
#define TEXELS4 samplerBuffer
#define FETCH4(texels, i) texelFetch(texels, int(i))
#endif
#endif
