// Push constants of add_partials.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_ADD_PARTIALS_H
#define VKBERT_SHADERS_ADD_PARTIALS_H
struct AddPartialsPush {
    uint rows, rows_symbol;  // what the blocks are of
    uint block_rows;
    uint columns, pitch;  // N, elements from partial to partial
};
#endif
