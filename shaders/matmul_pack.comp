#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// strips(S,16 K'): of an operand of a product, in strips of 16 columns (of A, rows), those of one step of K behind one another, for
// matmul_packed.comp; fp32; from N and K on it may hold anything. One workgroup PACK_STEPS steps of two strips. Through addresses: whole
// vectors are loaded, and pairs scattered (see blocks.glsl).
#define WIDE
#include "shaders/common.glsl"
#include "shaders/blocks.glsl"
#include "shaders/matmul_pack.h"
layout(constant_id = 1) const uint ALONG_K = 0;  // (N,K), else (K,N)

layout(push_constant) uniform Push {
    uint64_t operand_address, strips_address;
    MatmulPackPush p;
};
MatmulPackPush call = p;

uint bits_of_lane(uint64_t address) { return floatBitsToUint(float_of_lane(Floats(address), 0)); }

// Steps k and on, a lane each, of two neighbouring rows of the operand at a time.
void transpose_steps(uint strip, uint k) {
    const uint first = min(strip * PACK_COLUMNS, call.n - 1);
    FloatPairsOut pairs = FloatPairsOut(strips_address + (uint64_t(strip) * call.strip_pitch + k * PACK_COLUMNS) * 4);
    [[unroll]] for (uint i = 0; i < PACK_COLUMNS; i += 2) {
        const uint row = min(first + i, call.n - 1), next = min(first + i + 1, call.n - 1);
        const uint low = bits_of_lane(operand_address + (uint64_t(row) * call.pitch + k) * 4);
        const uint high = bits_of_lane(operand_address + (uint64_t(next) * call.pitch + k) * 4);
        pairs.at[gl_SubgroupInvocationID * (PACK_COLUMNS / 2) + i / 2] = pack_words(low, high);
    }
}

// Step k of two strips, a pair of columns a lane.
void copy_step(uint strip, uint k) {
    FloatPairs from = FloatPairs(operand_address + (uint64_t(k) * call.pitch + strip * PACK_COLUMNS) * 4);
    FloatPairsOut pairs = FloatPairsOut(strips_address + (uint64_t(strip) * call.strip_pitch + k * PACK_COLUMNS) * 4);
    [[unroll]] for (uint first = 0; first < PACK_COLUMNS; first += LOCAL_SIZE) {
        const uint pair = first + gl_SubgroupInvocationID;
        pairs.at[pair < PACK_COLUMNS / 2 ? pair : pair - PACK_COLUMNS / 2 + call.strip_pitch / 2] = float_pair_of_lane(from, first);
    }
}

void main() {
    const uint strip = gl_WorkGroupID.y * 2, first = gl_WorkGroupID.x * PACK_STEPS;
    if (first >= extent(call.k, call.k_symbol)) return;
    if (ALONG_K != 0u) {
        for (uint k = first; k < first + PACK_STEPS; k += LOCAL_SIZE) {
            transpose_steps(strip, k);
            transpose_steps(strip + 1, k);
        }
    } else {
        // Past the last step there are no more rows than Plan::read_slack.
        for (uint k = first; k < first + PACK_STEPS; k += 4)
            [[unroll]] for (uint i = 0; i < 4; i++) copy_step(strip, min(k + i, call.k - 1));
    }
}
