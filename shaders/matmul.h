// Push constants and constant values of the matmul shaders, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_MATMUL_H
#define VKBERT_SHADERS_MATMUL_H
struct MatmulPush {
    uint m, m_symbol;  // Extent of C's rows
    uint k, k_symbol;  // Extent of the inner dimension; a symbol only where it is a number of rows (tn)
    uint n;
    uint a_pitch4, b_pitch4, c_pitch4, residual_pitch4;  // elements / 4
    float scale;
    uint k_part;  // tiled: steps of K of one workgroup (z), a multiple of the tile's; parts lie M rows apart in C
    uint dropout_site;
    uint epilogue;  // with EPILOGUE_BY_CALL: EPILOGUE_RESIDUAL, EPILOGUE_ACTIVATION, whichever follow
};

// Bits of the EPILOGUE constant.
const uint EPILOGUE_BIAS = 1, EPILOGUE_RESIDUAL = 2, EPILOGUE_FP16_OUTPUT = 4,
           EPILOGUE_TAIL = 8,       // N is not a multiple of 4
           EPILOGUE_IN_PLACE = 16,  // the residual is C itself
           EPILOGUE_SLOPE = 32,     // the sum times the activation's derivative at the residual
           EPILOGUE_KEEP = 64,      // what the activation is applied to is kept too
           EPILOGUE_A_SUMS = 128,   // tn: the sums of A's columns are wanted too
           EPILOGUE_EVEN_STEPS = 256,  // K is known and has no steps left over: nothing is compiled for those
           EPILOGUE_BY_CALL = 512,     // MatmulPush::epilogue says whether residual and activation follow
           EPILOGUE_ALIGNED = 1024,    // rows of C, residual and kept start on 16 bytes, and so do they
           EPILOGUE_ACTIVATION = 2048,  // of MatmulPush::epilogue alone
           EPILOGUE_EVEN_COLUMNS = 4096;  // packed: N is a multiple of the columns of a workgroup

// Values of the ORIENTATION constant: ops::Orientation.
const uint ORIENTATION_NT = 0, ORIENTATION_NN = 1, ORIENTATION_TN = 2;
#endif
