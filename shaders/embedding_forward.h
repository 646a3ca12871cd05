// Push constants of embedding_forward.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_EMBEDDING_FORWARD_H
#define VKBERT_SHADERS_EMBEDDING_FORWARD_H
struct EmbeddingForwardPush {
    uint columns4;                // H / 4
    uint first_word, word_count;  // the rows of the word table that are bound
    uint word_pitch4, position_pitch4, type_pitch4, output_pitch4;
};
#endif
