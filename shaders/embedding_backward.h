// Push constants of embedding_backward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_EMBEDDING_BACKWARD_H
#define VKBERT_SHADERS_EMBEDDING_BACKWARD_H
struct EmbeddingBackwardPush {
    uint first_row, table_rows;  // of the table, the bound ones
    uint partials;               // 1: pieces of long buckets are summed too
    uint source_pitch4, table_pitch4;
};
#endif
