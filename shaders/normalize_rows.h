// Push constants of normalize_rows.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_NORMALIZE_ROWS_H
#define VKBERT_SHADERS_NORMALIZE_ROWS_H
struct NormalizeRowsPush {
    uint columns4;  // H / 4
    uint input_pitch4, output_pitch4;
};
#endif
