// Push constants of mean_squared_error.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_MEAN_SQUARED_ERROR_H
#define VKBERT_SHADERS_MEAN_SQUARED_ERROR_H
struct MeanSquaredErrorPush {
    uint rows, rows_symbol;  // R
    uint predictions_pitch, d_predictions_pitch;
    uint loss_index;         // into TrainingScalars::loss_weight
};
#endif
