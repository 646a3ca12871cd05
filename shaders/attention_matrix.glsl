// What the attention shaders on matrix cores share. Needs attention.glsl first, and the constants MM, MN, MK (the device's
// matrices) and SUBGROUPS.
//
// A workgroup has the queries or keys of several tiles: those beyond the first of each such group have nothing to do. Each
// subgroup owns MM of these rows to the end; only what streams through shared memory is common to all. Where an element of
// a matrix lies is the device's secret: what is done a row at a time goes through a slice of shared memory of the subgroup.
#ifndef VKBERT_ATTENTION_MATRIX_GLSL
#define VKBERT_ATTENTION_MATRIX_GLSL

#define OPERAND_A coopmat<float16_t, gl_ScopeSubgroup, MM, MK, gl_MatrixUseA>
#define OPERAND_B coopmat<float16_t, gl_ScopeSubgroup, MK, MN, gl_MatrixUseB>
#define SUMS coopmat<float, gl_ScopeSubgroup, MM, MN, gl_MatrixUseAccumulator>
const int ROW_MAJOR = gl_CooperativeMatrixLayoutRowMajor, COLUMN_MAJOR = gl_CooperativeMatrixLayoutColumnMajor;

const uint ROWS = SUBGROUPS * MM, LANES = LOCAL_SIZE / ROWS;  // rows a workgroup; invocations a row
// Of rows of halves, in pieces of four: 16 bytes of padding keep them aligned and off one another's banks.
const uint STRIDE = HEAD4 + 2;
const uint DEPTHS = HEAD_SIZE / MK, WIDTHS = HEAD_SIZE / MN;

const bool AHEAD = MM == 16;  // whether the next block is on its way in registers
// Unrolled but where matrices have few rows: there it spills (Xe2), and takes llvmpipe for ever to compile.
#define FOR_STEPS(K, END, STEP)                                                             \
    for (uint K##0 = 0; K##0 < END; K##0 += MM < 16 ? STEP : END)                           \
        [[unroll]] for (uint K##1 = 0, K = K##0; K##1 < (MM < 16 ? STEP : END); K##1 += STEP, K += STEP)

// What one invocation of a subgroup wrote is there for the others. Every subgroup of a workgroup must come to as many: llvmpipe
// takes each for one of the workgroup.
void fence() {
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
}

// Over the invocations of a row.
float sum_of_row(float x) {
    [[unroll]] for (uint i = 1; i < LANES; i *= 2) x += subgroupShuffleXor(x, i);
    return x;
}

// Whether the tile is the first of a group of tiles of one workgroup; then it grows to all rows of the group.
bool first_of_group(inout Tile t) {
    if ((t.row - t.first) % ROWS != 0u) return false;
    t.rows = min(ROWS, t.first + t.keys - t.row);
    return true;
}

#endif
