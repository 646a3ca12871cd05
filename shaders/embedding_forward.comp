#version 450
#extension GL_GOOGLE_include_directive : require
// sum(T,H) = word[id] + position[position] + type[type] for each token whose word is in the bound rows of the table.
// One invocation four columns of one token.
#include "shaders/common.glsl"
#include "shaders/embedding_forward.h"

layout(std430, binding = 1) readonly buffer Ids { uint ids[]; };
layout(std430, binding = 2) readonly buffer Positions { uint positions[]; };
layout(std430, binding = 3) readonly buffer Types { uint types[]; };
layout(std430, binding = 4) readonly buffer WordTable { STORED4 word_table[]; };
layout(std430, binding = 5) readonly buffer PositionTable { STORED4 position_table[]; };
layout(std430, binding = 6) readonly buffer TypeTable { STORED4 type_table[]; };
layout(std430, binding = 7) writeonly buffer Output { STORED4 sum[]; };
layout(push_constant) uniform Push { EmbeddingForwardPush p; };

void main() {
    const uint token = gl_WorkGroupID.x;
    const uint column = gl_WorkGroupID.y * LOCAL_SIZE + gl_LocalInvocationID.x;
    const uint word = ids[token] - p.first_word;  // wraps around for words before the bound rows
    if (column < p.columns4 && word < p.word_count)
        sum[token * p.output_pitch4 + column] =
            PACK4(UNPACK4(word_table[word * p.word_pitch4 + column]) +
                  UNPACK4(position_table[positions[token] * p.position_pitch4 + column]) +
                  UNPACK4(type_table[types[token] * p.type_pitch4 + column]));
}
