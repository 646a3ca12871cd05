// The epilogue of matmul_matrix.comp in registers, where the device calls a function for each element of a matrix
// (VK_NV_cooperative_matrix2): no slice of shared memory in between, and C is stored as matrices. For workgroups whose tile
// lies wholly inside C; the others, dropout, and epilogues that are not listed here, take store4. Both compute the same, in the same order.
//
// Include after matmul.glsl, MM, MN, ACCUMULATOR and p.
#ifndef VKBERT_MATMUL_MATRIX_ELEMENTS_GLSL
#define VKBERT_MATMUL_MATRIX_ELEMENTS_GLSL
#define HALVES coopmat<float16_t, gl_ScopeSubgroup, MM, MN, gl_MatrixUseAccumulator>

const uint EPILOGUE_OF_ELEMENTS = EPILOGUE_BIAS | EPILOGUE_RESIDUAL | EPILOGUE_FP16_OUTPUT | EPILOGUE_TAIL | EPILOGUE_IN_PLACE |
                                  EPILOGUE_SLOPE | EPILOGUE_KEEP | EPILOGUE_EVEN_STEPS | EPILOGUE_ALIGNED;
const bool IS_ALIGNED = (EPILOGUE & EPILOGUE_ALIGNED) != 0u, IS_LISTED = (EPILOGUE & ~EPILOGUE_OF_ELEMENTS) == 0u;

// What coopMatPerElementNV calls. Columns count from `column` of C on.
float scaled_element(const in uint row, const in uint at, const in float sum, const in uint column, const in float scale) {
    return (EPILOGUE & EPILOGUE_BIAS) != 0u ? sum * scale + bias[column + at] : sum * scale;
}
float activated_element(const in uint row, const in uint at, const in float v) { return before_residual(vec4(v)).x; }
float finished_element(const in uint row, const in uint at, const in float v, const in float residual) {
    return with_residual(vec4(v), vec4(residual)).x;
}

// The pitches are in elements / 4, as the places are.
void store_matrix(ACCUMULATOR v, bool kept, uint at) {
    const int row_major = gl_CooperativeMatrixLayoutRowMajor;
    if ((EPILOGUE & EPILOGUE_FP16_OUTPUT) != 0u) {
        if (kept) coopMatStore(HALVES(v), kept_halves, at, p.c_pitch4, row_major);
        else coopMatStore(HALVES(v), output_halves, at, p.c_pitch4, row_major);
    } else {
        if (kept) coopMatStore(v, kept4, at, p.c_pitch4, row_major);
        else coopMatStore(v, output4, at, p.c_pitch4, row_major);
    }
}

ACCUMULATOR load_residual(uint at) {
    const int row_major = gl_CooperativeMatrixLayoutRowMajor;
    if ((EPILOGUE & EPILOGUE_FP16_OUTPUT) != 0u) {
        HALVES residual;
        coopMatLoad(residual, residual_halves, at, p.residual_pitch4, row_major);
        return ACCUMULATOR(residual);
    }
    ACCUMULATOR residual;
    coopMatLoad(residual, residual4, at, p.residual_pitch4, row_major);
    return residual;
}

// Makes the matrix of C that begins at row and column from its sums.
void store_elements(ACCUMULATOR sum, uint row, uint column) {
    const uint at = row * p.c_pitch4 + column / 4;
    ACCUMULATOR v;
    coopMatPerElementNV(v, sum, scaled_element, column, p.scale);
    if ((EPILOGUE & EPILOGUE_KEEP) != 0u) store_matrix(v, true, at);
    if (ACTIVATION != ACTIVATION_NONE && (EPILOGUE & EPILOGUE_SLOPE) == 0u) coopMatPerElementNV(v, v, activated_element);
    if ((EPILOGUE & EPILOGUE_RESIDUAL) != 0u) {
        const ACCUMULATOR residual = load_residual(row * p.residual_pitch4 + column / 4);
        coopMatPerElementNV(v, v, finished_element, residual);
        // Which lane reads which element of C is the device's secret: all have read before one writes.
        if ((EPILOGUE & EPILOGUE_IN_PLACE) != 0u)
            controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
    }
    store_matrix(v, false, at);
}
#endif
