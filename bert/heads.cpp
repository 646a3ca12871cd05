// The output layers: one on top of the encoder for every task of the paper.
#include <algorithm>

#include "bert/layers.hpp"

namespace vkbert {

namespace {

/// (S,H) tanh(dense([CLS])), from the first tokens' rows.
void pooler(Graph& g, const Tensor& output, const Tensor& first) {
    linear(g, "pooler", output, first, "pooler.dense", {.activation = ops::Activation::tanh});
}

/// logits(R,V) = transform(x) E^T + b, E the tied word embeddings.
void masked_lm(Graph& g, const Tensor& x) {
    const uint32_t H = g.config.hidden_size, V = g.config.vocab_size;
    const Tensor dense = g.temporary("mlm dense", g.rows, H),
                 transformed = g.temporary("mlm transform", g.rows, H);
    linear(g, "mlm dense", dense, x, "cls.predictions.transform.dense",
           {.activation = g.config.activation()});
    layer_norm(g, "mlm layernorm", transformed, dense, "cls.predictions.transform.LayerNorm");
    const bool wants_logits = g.options.output == Output::logits;
    const uint32_t pitch = Graph::padded(V);
    check_vocabulary_logits(g);
    Tensor logits = wants_logits ? g.result("logits", g.rows, V) : g.plan.temporary("logits", g.rows, pitch);
    logits.columns = V;
    linear(g, "mlm decoder", logits, transformed, decoder_names(g));
    if (g.options.output != Output::top_k) return;
    const Tensor values = g.result("top k", g.rows, g.options.top_k);
    g.top_k_ids = g.plan.persistent("top k ids", g.rows, g.options.top_k, Type::uint32);
    ops::softmax_forward(g.plan, "mlm softmax", logits, logits);
    ops::top_k(g.plan, "mlm top k", values, g.top_k_ids, logits);
}

}  // namespace

LinearNames decoder_names(const Graph& g) {
    const LinearNames own("cls.predictions.decoder");
    return g.weights.contains(own.weight)
               ? own
               : LinearNames("embeddings.word_embeddings.weight", "cls.predictions.bias");
}

void check_vocabulary_logits(const Graph& g) {
    const uint64_t bytes = uint64_t(g.rows.capacity) * Graph::padded(g.config.vocab_size) * sizeof(float);
    if (bytes > g.plan.capabilities().max_storage_buffer_range)
        fail(ErrorCode::invalid_argument,
             "{} masked positions at a time make logits of {} bytes, over the device's {}", g.rows.capacity,
             bytes, g.plan.capabilities().max_storage_buffer_range);
}

void append_head(Graph& g, const Tensor& last) {
    const Config& c = g.config;
    if (g.options.output == Output::pooler) {
        pooler(g, g.result("pooler", g.sequences, c.hidden_size), last);
        return;
    }
    switch (g.model_options.head) {
        case Head::masked_lm:
            masked_lm(g, last);
            return;
        case Head::next_sentence: {
            const Tensor pooled = g.temporary("pooled", g.sequences, c.hidden_size);
            pooler(g, pooled, last);
            linear(g, "next sentence", g.result("logits", g.sequences, 2), pooled, "cls.seq_relationship");
            return;
        }
        case Head::sequence_classification:
        case Head::multiple_choice: {
            const Tensor pooled = g.temporary("pooled", g.sequences, c.hidden_size);
            pooler(g, pooled, last);
            const uint32_t classes = g.model_options.head == Head::multiple_choice ? 1 : c.num_labels();
            linear(g, "classifier", g.result("logits", g.sequences, classes), pooled, "classifier");
            return;
        }
        case Head::token_classification:
            linear(g, "classifier", g.result("logits", g.tokens, c.num_labels()), last, "classifier");
            return;
        case Head::question_answering:
            linear(g, "answer", g.result("logits", g.tokens, 2), last, "qa_outputs");
            return;
        default:
            fail(ErrorCode::invalid_argument, "the model was loaded without a head");
    }
}

}  // namespace vkbert
