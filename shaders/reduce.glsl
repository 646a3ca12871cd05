// Reductions over a workgroup, the same result in every invocation and, on one device, always in the same order.
//
//   default               subgroup arithmetic, then one value a subgroup through shared memory (any subgroup size)
//   REDUCE_SHARED         shared memory alone, for devices without subgroup arithmetic; LOCAL_SIZE is a power of two
//   REDUCE_ONE_SUBGROUP   the workgroup is one subgroup: no shared memory and no barrier, for CPU drivers
//   WIDE                  the same as a tree of scalars (blocks.glsl), LOCAL_SIZE 4, 8 or 16
//
// Every invocation of the workgroup must call them.
#ifndef VKBERT_REDUCE_GLSL
#define VKBERT_REDUCE_GLSL

#ifndef REDUCE_SHARED
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

#ifdef WIDE

#extension GL_KHR_shader_subgroup_ballot : require

// llvmpipe's subgroupAdd adds one lane after the other.
#define REDUCE_FOUR(OP, v, lane)                                       \
    OP(OP(subgroupBroadcast(v, lane), subgroupBroadcast(v, lane + 1)), \
       OP(subgroupBroadcast(v, lane + 2), subgroupBroadcast(v, lane + 3)))
#define WORKGROUP_REDUCTION(NAME, TYPE, SUBGROUP_OP, OP, TO_BITS, FROM_BITS)  \
    TYPE NAME(TYPE v) {                                                       \
        const TYPE four = REDUCE_FOUR(OP, v, 0);                              \
        if (LOCAL_SIZE == 4) return four;                                     \
        const TYPE eight = OP(four, REDUCE_FOUR(OP, v, 4));                   \
        if (LOCAL_SIZE == 8) return eight;                                    \
        return OP(eight, OP(REDUCE_FOUR(OP, v, 8), REDUCE_FOUR(OP, v, 12)));  \
    }

#elif defined(REDUCE_ONE_SUBGROUP)

#define WORKGROUP_REDUCTION(NAME, TYPE, SUBGROUP_OP, OP, TO_BITS, FROM_BITS) \
    TYPE NAME(TYPE v) { return SUBGROUP_OP(v); }

#else

shared uint reduce_partials[LOCAL_SIZE];  // bits of TYPE

#ifdef REDUCE_SHARED

#define WORKGROUP_REDUCTION(NAME, TYPE, SUBGROUP_OP, OP, TO_BITS, FROM_BITS)                        \
    TYPE NAME(TYPE v) {                                                                             \
        const uint i = gl_LocalInvocationID.x;                                                      \
        barrier();                                                                                  \
        reduce_partials[i] = TO_BITS(v);                                                            \
        barrier();                                                                                  \
        for (uint half_size = LOCAL_SIZE / 2; half_size > 0; half_size /= 2) {                      \
            if (i < half_size)                                                                      \
                reduce_partials[i] =                                                                \
                    TO_BITS(OP(FROM_BITS(reduce_partials[i]), FROM_BITS(reduce_partials[i + half_size]))); \
            barrier();                                                                              \
        }                                                                                           \
        return FROM_BITS(reduce_partials[0]);                                                       \
    }

#else

#define WORKGROUP_REDUCTION(NAME, TYPE, SUBGROUP_OP, OP, TO_BITS, FROM_BITS)              \
    TYPE NAME(TYPE v) {                                                                   \
        v = SUBGROUP_OP(v);                                                               \
        if (gl_NumSubgroups == 1) return v;                                               \
        barrier();                                                                        \
        if (subgroupElect()) reduce_partials[gl_SubgroupID] = TO_BITS(v);                 \
        barrier();                                                                        \
        v = FROM_BITS(reduce_partials[0]);                                                \
        for (uint i = 1; i < gl_NumSubgroups; i++) v = OP(v, FROM_BITS(reduce_partials[i])); \
        return v;                                                                         \
    }

#endif
#endif

#define REDUCE_ADD(a, b) ((a) + (b))
WORKGROUP_REDUCTION(workgroup_add, float, subgroupAdd, REDUCE_ADD, floatBitsToUint, uintBitsToFloat)
WORKGROUP_REDUCTION(workgroup_max, float, subgroupMax, max, floatBitsToUint, uintBitsToFloat)
WORKGROUP_REDUCTION(workgroup_max, uint, subgroupMax, max, uint, uint)
WORKGROUP_REDUCTION(workgroup_min, uint, subgroupMin, min, uint, uint)

#endif
