// The output layers' losses and gradients: one on top of the encoder for every task of the paper (section 4).
#include "bert/training_graph.hpp"

namespace vkbert {

namespace {

/// Logits (R,C) fp32 and their gradient, with rows of a multiple of 4 elements.
struct Logits {
    Tensor values, gradient;
};

Logits logits_of(TrainingGraph& g, Extent rows, uint32_t classes) {
    const uint32_t padded = Graph::padded(classes);
    const auto make = [&](const char* name) {
        Tensor t = g.plan.temporary(name, rows, padded, Type::fp32);
        if (padded != classes && std::string_view(name) == "d logits")
            ops::fill(g.plan, "d logits padding", t, 0);  // linear_backward reads it
        t.columns = classes;
        return t;
    };
    return {make("logits"), make("d logits")};
}

/// The gradient in the type that the encoder works in.
Tensor working_gradient(TrainingGraph& g, const Tensor& d_logits) {
    if (g.type == Type::fp32) return d_logits;
    Tensor whole = d_logits;
    whole.columns = d_logits.pitch;
    Tensor cast = g.temporary("d logits cast", d_logits.rows, d_logits.pitch);
    ops::cast(g.plan, "d logits cast", cast, whole);
    cast.columns = d_logits.columns;
    return cast;
}

Tensor loss_per(TrainingGraph& g, Extent rows, uint32_t columns) {
    g.loss = g.plan.persistent("loss", rows, columns, Type::fp32);
    g.results.push_back(g.loss);
    return g.loss;
}

void classification_loss(TrainingGraph& g, const Logits& logits) {
    switch (g.model_options.head) {
        case Head::question_answering:
            ops::segment_cross_entropy(g.plan, "loss", loss_per(g, g.sequences, 2), logits.gradient,
                                       logits.values, g.offsets, g.labels, g.scalars);
            return;
        case Head::multiple_choice:
            ops::segment_cross_entropy(g.plan, "loss", loss_per(g, g.questions, 1), logits.gradient,
                                       logits.values, g.question_offsets, g.labels, g.scalars);
            return;
        default:
            break;
    }
    const Tensor loss = loss_per(g, logits.values.rows, 1);
    if (logits.values.columns == 1)
        ops::mean_squared_error(g.plan, "loss", loss, logits.gradient, logits.values, g.targets, g.scalars);
    else
        ops::cross_entropy(g.plan, "loss", loss, logits.gradient, logits.values, g.labels, g.scalars);
}

/// Heads that read every token: logits = dropout(x) W^T + b.
Tensor token_head(TrainingGraph& g, const Tensor& last, const std::string& name, uint32_t classes,
                  float probability) {
    const uint32_t H = g.config.hidden_size;
    Tensor x = last;
    if (probability > 0) {
        x = g.temporary("dropped", g.tokens, H);
        ops::dropout(g.plan, "head dropout", x, last, g.dropout(probability, dropout_site::head));
    }
    const Logits logits = logits_of(g, g.tokens, classes);
    linear(g, "logits", logits.values, x, name);
    classification_loss(g, logits);
    const Tensor d_x = g.temporary("d last", g.tokens, H);
    linear_backward(g, "d logits", name, working_gradient(g, logits.gradient), x, &d_x);
    if (probability > 0)
        ops::dropout(g.plan, "d head dropout", d_x, d_x, g.dropout(probability, dropout_site::head));
    return d_x;
}

/// Heads that read [CLS]: logits = dropout(tanh(Wp first + bp)) W^T + b.
Tensor pooled_head(TrainingGraph& g, const Tensor& first, const std::string& name, uint32_t classes,
                   float probability) {
    const uint32_t H = g.config.hidden_size;
    const auto rows = [&](const char* label) { return g.temporary(label, g.sequences, H); };
    const Tensor before = rows("before tanh"), pooled = rows("pooled");
    linear(g, "pooler", pooled, first, "pooler.dense",
           {.activation = ops::Activation::tanh, .kept = &before});
    const ops::Dropout dropout = g.dropout(probability, dropout_site::head);
    Tensor x = pooled;
    if (probability > 0) ops::dropout(g.plan, "head dropout", x = rows("dropped"), pooled, dropout);
    const Logits logits = logits_of(g, g.sequences, classes);
    linear(g, "logits", logits.values, x, name);
    classification_loss(g, logits);
    const Tensor d_pooled = rows("d pooled"), d_first = rows("d first");
    linear_backward(g, "d logits", name, working_gradient(g, logits.gradient), x, &d_pooled);
    if (probability > 0) ops::dropout(g.plan, "d head dropout", d_pooled, d_pooled, dropout);
    ops::activation_backward(g.plan, "d pooler tanh", d_pooled, d_pooled, before, ops::Activation::tanh);
    linear_backward(g, "d pooler", "pooler.dense", d_pooled, first, &d_first);
    return d_first;
}

/// The masked tokens' words: logits = LayerNorm(f(Wt x + bt)) E^T + b, E the word embeddings (appendix A.1).
Tensor masked_lm_head(TrainingGraph& g, const Tensor& x) {
    const uint32_t H = g.config.hidden_size, V = g.config.vocab_size;
    const std::string transform = "cls.predictions.transform.";
    check_vocabulary_logits(g);
    const auto rows = [&](const char* label) { return g.temporary(label, g.rows, H); };
    const Tensor before = rows("mlm before activation"), dense = rows("mlm dense");
    linear(g, "mlm dense", dense, x, transform + "dense",
           {.activation = g.config.activation(), .kept = &before});
    Tensor mean, rstd;
    const Tensor transformed =
        layer_norm_kept(g, "mlm layernorm", dense, transform + "LayerNorm", mean, rstd);  // (R,H)
    // (R,V), the gradient in the same place: with a whole vocabulary it is the largest tensor of the pass.
    Tensor logits = g.plan.temporary("mlm logits", g.rows, Graph::padded(V), Type::fp32);
    if (logits.columns != V) ops::fill(g.plan, "mlm logits padding", logits, 0);  // linear_backward reads it
    logits.columns = V;
    linear(g, "mlm decoder", logits, transformed, decoder_names(g));
    ops::cross_entropy(g.plan, "loss", loss_per(g, g.rows, 1), logits, logits, g.labels, g.scalars);
    const Tensor d_transformed = rows("d mlm transformed"), d_x = rows("d masked rows");
    linear_backward(g, "d mlm decoder", decoder_names(g), working_gradient(g, logits), transformed,
                    &d_transformed);
    const Tensor d_dense =
        layer_norm_backward(g, "d mlm layernorm", transform + "LayerNorm", d_transformed, dense, mean, rstd);
    ops::activation_backward(g.plan, "d mlm activation", d_dense, d_dense, before, g.config.activation());
    linear_backward(g, "d mlm dense", transform + "dense", d_dense, x, &d_x);
    return d_x;
}

}  // namespace

Tensor head_and_loss(TrainingGraph& g, const Tensor& last) {
    const float p = g.training.classifier_dropout;
    switch (g.model_options.head) {
        case Head::masked_lm:
            return masked_lm_head(g, last);
        case Head::next_sentence:
            return pooled_head(g, last, "cls.seq_relationship", 2, 0);
        case Head::sequence_classification:
            return pooled_head(g, last, "classifier", g.config.num_labels(), p);
        case Head::multiple_choice:
            return pooled_head(g, last, "classifier", 1, p);
        case Head::token_classification:
            return token_head(g, last, "classifier", g.config.num_labels(), p);
        case Head::question_answering:
            return token_head(g, last, "qa_outputs", 2, 0);
        default:
            fail(ErrorCode::invalid_argument, "a model with head {} cannot be fine-tuned",
                 name_of(g.model_options.head));
    }
}

}  // namespace vkbert
