#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// sum(T,H) = word[id] + position[position] + type[type] for each token whose word is in the bound rows of the table.
// One invocation four columns of one token. -DTEXEL reads the tables as texel buffers.
#include "shaders/common.glsl"
#include "shaders/texel.glsl"
#include "shaders/touch.glsl"
#include "shaders/embedding_forward.h"

layout(std430, binding = 1) readonly buffer Ids { uint ids[]; };
layout(std430, binding = 2) readonly buffer Positions { uint positions[]; };
layout(std430, binding = 3) readonly buffer Types { uint types[]; };
layout(constant_id = 1) const uint STEPS = 1;  // of four columns, by each invocation

#ifdef TEXEL
layout(binding = 4) uniform TEXELS4 word_texels;
layout(binding = 5) uniform TEXELS4 position_texels;
layout(binding = 6) uniform TEXELS4 type_texels;
#define LOAD_WORD(i) FETCH4(word_texels, i)
#define LOAD_POSITION(i) FETCH4(position_texels, i)
#define LOAD_TYPE(i) FETCH4(type_texels, i)
#else
layout(std430, binding = 4) readonly buffer WordTable { STORED4 word_table[]; };
layout(std430, binding = 5) readonly buffer PositionTable { STORED4 position_table[]; };
layout(std430, binding = 6) readonly buffer TypeTable { STORED4 type_table[]; };
#define LOAD_WORD(i) UNPACK4(word_table[i])
#define LOAD_POSITION(i) UNPACK4(position_table[i])
#define LOAD_TYPE(i) UNPACK4(type_table[i])
#endif
layout(std430, binding = 7) writeonly buffer Output { STORED4 sum[]; };
layout(push_constant) uniform Push { EmbeddingForwardPush p; };

const uint AT_ONCE = STEPS < 4 ? STEPS : 4;

uint word_row, position_row, type_row, output_row;

void add(uint column) {
    sum[output_row + column] =
        PACK4(LOAD_WORD(word_row + column) + LOAD_POSITION(position_row + column) + LOAD_TYPE(type_row + column));
}

void main() {
    const uint token = gl_WorkGroupID.x;
    const uint word = ids[token] - p.first_word;  // wraps around for words before the bound rows
    if (word >= p.word_count) return;
    word_row = word * p.word_pitch4;
    position_row = positions[token] * p.position_pitch4;
    type_row = types[token] * p.type_pitch4;
    output_row = token * p.output_pitch4;
    const uint first = gl_WorkGroupID.y * LOCAL_SIZE * STEPS, end = min(p.columns4, first + LOCAL_SIZE * STEPS);
    uint base = first;
    if (STEPS > 1) for (; base + AT_ONCE * LOCAL_SIZE <= end; base += AT_ONCE * LOCAL_SIZE) {
        TOUCH(word_table, word_row + base, AT_ONCE * LOCAL_SIZE)
        output_row = after_touching(output_row);
        [[unroll]] for (uint w = 0; w < AT_ONCE; w++) add(base + w * LOCAL_SIZE + gl_LocalInvocationID.x);
    }
    for (uint column = base + gl_LocalInvocationID.x; column < end; column += LOCAL_SIZE) add(column);
}
