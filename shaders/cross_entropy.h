// Push constants of cross_entropy.comp, for C++ and GLSL alike.
#ifndef VKBERT_SHADERS_CROSS_ENTROPY_H
#define VKBERT_SHADERS_CROSS_ENTROPY_H
struct CrossEntropyPush {
    uint columns;  // C
    uint logits_pitch, d_logits_pitch, labels_pitch, loss_pitch;
    uint loss_index;  // into TrainingScalars::loss_weight
};
#endif
