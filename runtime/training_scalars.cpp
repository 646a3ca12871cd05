#include "runtime/training_scalars.hpp"

namespace vkbert {

void set_betas(TrainingScalars& scalars, double beta1, double beta2) {
    scalars.beta1 = float(beta1);
    scalars.beta2 = float(beta2);
    scalars.one_minus_beta1 = float(1 - beta1);
    scalars.one_minus_beta2 = float(1 - beta2);
}

TrainingScalars initial_training_scalars(float loss_scale) {
    TrainingScalars scalars{};
    for (float& weight : scalars.loss_weight) weight = 1;
    set_betas(scalars, 0.9, 0.999);
    scalars.epsilon = 1e-8f;
    scalars.weight_decay = 0.01f;
    scalars.max_gradient_norm = 1;
    scalars.bias_correction = 1;
    scalars.growth_interval = loss_scale == 1 ? 0 : 2000;
    scalars.loss_scale = loss_scale;
    return scalars;
}

}  // namespace vkbert
