// Push constants of column_sums.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_COLUMN_SUMS_H
#define VKBERT_SHADERS_COLUMN_SUMS_H
struct ColumnSumsPush {
    uint rows, rows_symbol;  // Extent of the input
    uint columns;            // of the output
    uint input_pitch4, output_pitch4;
    uint strips;  // rows of the output
    uint accumulate;
};
#endif
