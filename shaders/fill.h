// Push constants of fill.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_FILL_H
#define VKBERT_SHADERS_FILL_H
struct FillPush {
    uint rows, rows_symbol;  // Extent of the tensor
    uint columns, pitch;     // in words, or in units of four words for WIDE
    uint word;
};
#endif
