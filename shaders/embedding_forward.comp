#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// sum(T,H) = word[id] + position[position] + type[type] for each token whose word is in the bound rows of the table.
// One invocation four columns of one token. -DTEXEL reads the tables as texel buffers, -DWIDE whole
// vectors of them.
#include "shaders/common.glsl"
#include "shaders/blocks.glsl"
#include "shaders/embedding_forward.h"

layout(std430, binding = 1) readonly buffer Ids { uint ids[]; };
layout(std430, binding = 2) readonly buffer Positions { uint positions[]; };
layout(std430, binding = 3) readonly buffer Types { uint types[]; };
layout(constant_id = 1) const uint STEPS = 1;  // of four columns, by each invocation

#ifdef TEXEL
layout(binding = 4) uniform TEXELS4 word_texels;
layout(binding = 5) uniform TEXELS4 position_texels;
layout(binding = 6) uniform TEXELS4 type_texels;
#elif !defined(WIDE)
layout(std430, binding = 4) readonly buffer WordTable { STORED4 word_data[]; };
layout(std430, binding = 5) readonly buffer PositionTable { STORED4 position_data[]; };
layout(std430, binding = 6) readonly buffer TypeTable { STORED4 type_data[]; };
#endif
#ifndef WIDE
layout(std430, binding = 7) writeonly buffer Output { STORED4 sum_data[]; };
#endif
layout(push_constant) uniform Push {
#ifdef WIDE
    uint64_t word_address, position_address, type_address, sum_address;
#endif
    EmbeddingForwardPush p;
};

uint word_row, position_row, type_row, output_row;

void add(uint block) {
    const vec4 sum = LOAD_BLOCK(word, word_row + block) + LOAD_BLOCK(position, position_row + block) + LOAD_BLOCK(type, type_row + block);
    TOUCH_BLOCK(sum, output_row + block)
    STORE_BLOCK(sum, output_row + block, sum)
}

void main() {
    const uint token = gl_WorkGroupID.x;
    const uint word = ids[token] - p.first_word;  // wraps around for words before the bound rows
    if (word >= p.word_count) return;
    word_row = min(word, p.word_count - 1) * p.word_pitch4;  // min: see blocks.glsl
    position_row = positions[token] * p.position_pitch4;
    type_row = types[token] * p.type_pitch4;
    output_row = token * p.output_pitch4;
    uint block = gl_WorkGroupID.y * LOCAL_SIZE * STEPS;
    const uint end = min(p.columns4, block + LOCAL_SIZE * STEPS);
#ifdef WIDE
    const uint at_once = 32 / LOCAL_SIZE;
    for (; block + at_once * LOCAL_SIZE <= end; block += at_once * LOCAL_SIZE)
        [[unroll]] for (uint w = 0; w < at_once; w++) add(block + w * LOCAL_SIZE);
    for (; block < end; block += LOCAL_SIZE) add(block);
    KEEP_TOUCHED(sum)
#else
    for (; block + gl_LocalInvocationID.x < end; block += LOCAL_SIZE) add(block);
#endif
}
