// The numbers that change from optimizer step to optimizer step, for C++ and GLSL alike: one persistent tensor
// (1, sizeof / 4) uint32, read as a std430 block. The host writes the first TRAINING_SCALARS_HOST_WORDS words before each
// step; the rest the device keeps (gradient_norm_finish.comp), and checkpoints save it.
#ifndef VKBERT_SHADERS_TRAINING_SCALARS_H
#define VKBERT_SHADERS_TRAINING_SCALARS_H

#define TRAINING_SCALARS_HOST_WORDS 16
#define TRAINING_SCALARS_LOSSES 4

struct TrainingScalars {
    // from the host
    float loss_weight[TRAINING_SCALARS_LOSSES];  // of each loss, 1 / number of examples counted in this step
    float learning_rate;
    float beta1, beta2;
    float one_minus_beta1, one_minus_beta2;  // differences made in double precision
    float epsilon;                           // added to the root of the second moment
    float weight_decay;
    float max_gradient_norm;  // 0: no clipping
    uint bias_correction;     // 1: Adam and AdamW, 0: the paper's BertAdam
    uint growth_interval;     // steps without overflow after which the loss scale doubles; 0: it stays as it is
    uint reserved0, reserved1;

    // of the device
    float loss_scale;
    uint good_steps;              // without overflow, since the loss scale changed
    uint applied_steps;           // updates made
    uint skipped_steps;           // updates left out because the gradient was not finite
    float unit1, unit2;           // 1 - beta^applied_steps
    float correction1, correction2;  // what this step's moments are divided by: those, or 1
    float gradient_norm;          // of this step's gradient, unscaled, before clipping
    float gradient_factor;        // clip / loss scale: this step's gradient is multiplied by it
    uint overflow;                // 1: this step's gradient was not finite, and nothing is updated
    uint reserved2, reserved3, reserved4, reserved5, reserved6;
};

#endif
