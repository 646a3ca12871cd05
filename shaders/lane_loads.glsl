// LANE_LOAD(NAME, TYPE, REFERENCE) defines NAME(from, first): of LOCAL_SIZE elements from from.at[first] on, `first` the same for all lanes,
// each lane of a subgroup takes the one of its number. llvmpipe 26 loads each as a scalar, and LLVM makes one load of a vector of
// all (blocks.glsl). Must stand outside of any condition, and all of it must be readable.
#ifndef VKBERT_LANE_LOADS_GLSL
#define VKBERT_LANE_LOADS_GLSL
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_KHR_shader_subgroup_basic : require

#define LANE_LOAD(NAME, TYPE, REFERENCE)                              \
    TYPE NAME(REFERENCE from, uint first) {                           \
        TYPE mine = from.at[first];                                   \
        for (uint lane = 1; lane < LOCAL_SIZE; lane++) {              \
            const TYPE other = from.at[first + lane];                 \
            mine = gl_SubgroupInvocationID == lane ? other : mine;    \
        }                                                             \
        return mine;                                                  \
    }

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Floats { float at[]; };
LANE_LOAD(float_of_lane, float, Floats)

#endif
