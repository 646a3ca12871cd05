// The encoder's layers forward, with what their gradients need kept, and backward.
#include <algorithm>

#include "bert/training_graph.hpp"
#include "runtime/training_scalars.hpp"

namespace vkbert {

namespace {

/// What a layer's backward pass reads. R = T, but in a last layer of which only some rows are read.
struct LayerStates {
    Tensor x, qkv, context, logsumexp;        // (T,H), (T,3H), (T,H), (T,A)
    std::optional<Tensor> rows;               // (R,1) uint32: the rows of what follows
    Tensor read;                              // (R,H): rows of context
    Tensor attended, mean1, rstd1, middle;    // (R,H), (R,1), (R,1), (R,H)
    Tensor before, inner, sum, mean2, rstd2;  // (R,F), (R,F), (R,H), (R,1), (R,1)
    Tensor y;                                 // (R,H)
};

std::string name_of_layer(uint32_t layer) {
    return "encoder.layer." + std::to_string(layer) + ".";
}

/// dropout(input W^T + b) + residual
Tensor sub_layer_output(TrainingGraph& g, const std::string& label, const Tensor& input,
                        const std::string& name, uint32_t site, const Tensor& residual) {
    const Tensor sum = g.temporary(label + " sum", input.rows, g.config.hidden_size);
    const ops::Dropout dropout = g.dropout(g.training.hidden_dropout, site);
    ops::MatmulOptions options{.residual = &residual};
    if (dropout.probability > 0) options.dropout = &dropout;
    linear(g, label, sum, input, name, options);
    return sum;
}

Tensor dropout_backward(TrainingGraph& g, const std::string& label, const Tensor& d_y, float probability,
                        uint32_t site) {
    if (probability == 0) return d_y;
    const Tensor d_x = g.plan.temporary(label + " d dropout", d_y.rows, d_y.columns, d_y.type);
    ops::dropout(g.plan, label + " d dropout", d_x, d_y, g.dropout(probability, site));
    return d_x;
}

ops::AttentionOptions attention_options(TrainingGraph& g, const ops::Dropout& dropout) {
    ops::AttentionOptions options;
    options.heads = g.config.num_attention_heads;
    options.causal = g.options.causal;
    options.pairs = g.pairs;
    if (dropout.probability > 0) options.dropout = &dropout;
    return options;
}

LayerStates layer_forward(TrainingGraph& g, uint32_t layer, const Tensor& x) {
    const uint32_t H = g.config.hidden_size, F = g.config.intermediate_size;
    const std::string name = name_of_layer(layer);
    LayerStates s;
    s.x = x;
    s.qkv = g.temporary("qkv", g.tokens, 3 * H);
    linear(g, "qkv", s.qkv, x, name + "attention.self.qkv");
    s.context = g.temporary("context", g.tokens, H);
    s.logsumexp = g.plan.temporary("logsumexp", g.tokens, g.config.num_attention_heads, Type::fp32);
    const ops::Dropout dropout = g.dropout(g.training.attention_dropout, dropout_site::attention(layer));
    ops::AttentionOptions options = attention_options(g, dropout);
    options.logsumexp = &s.logsumexp;
    ops::attention_forward(g.plan, "attention", s.context, s.qkv, g.tile_list, options);
    s.read = s.context;
    Tensor residual = x;
    if (layer + 1 == g.config.num_hidden_layers && (s.rows = g.head_rows())) {
        s.read = g.temporary("context rows", s.rows->rows, H);
        residual = g.temporary("residual rows", s.rows->rows, H);
        ops::gather_rows(g.plan, "context rows", s.read, s.context, *s.rows);
        ops::gather_rows(g.plan, "residual rows", residual, x, *s.rows);
    }
    const Extent R = s.read.rows;
    s.attended = sub_layer_output(g, "projection", s.read, name + "attention.output.dense",
                                  dropout_site::projection(layer), residual);
    s.middle =
        layer_norm_kept(g, "layernorm1", s.attended, name + "attention.output.LayerNorm", s.mean1, s.rstd1);
    s.before = g.temporary("before activation", R, F);
    s.inner = g.temporary("inner", R, F);
    linear(g, "ffn1", s.inner, s.middle, name + "intermediate.dense",
           {.activation = g.config.activation(), .kept = &s.before});
    s.sum = sub_layer_output(g, "ffn2", s.inner, name + "output.dense", dropout_site::feed_forward(layer),
                             s.middle);
    s.y = layer_norm_kept(g, "layernorm2", s.sum, name + "output.LayerNorm", s.mean2, s.rstd2);
    return s;
}

/// Gradients of rows (R,H) as gradients of all tokens (T,H).
Tensor of_all_tokens(TrainingGraph& g, const std::string& label, const Tensor& d_rows,
                     const std::optional<Tensor>& rows) {
    if (!rows) return d_rows;
    const Tensor all = g.temporary(label, g.tokens, d_rows.columns);
    ops::scatter_rows(g.plan, label, all, d_rows, *rows);
    return all;
}

/// d_x (T,H) from d_y (R,H); gradients of the layer's parameters are added on the way.
Tensor layer_backward(TrainingGraph& g, uint32_t layer, const LayerStates& s, const Tensor& d_y,
                      bool wants_d_x) {
    const uint32_t H = g.config.hidden_size, F = g.config.intermediate_size;
    const std::string name = name_of_layer(layer);
    const Extent R = s.read.rows;
    const float p = g.training.hidden_dropout;
    // Feed-forward: y = layernorm2(dropout(W2 f(W1 middle + b1) + b2) + middle)
    const Tensor d_sum =
        layer_norm_backward(g, "d layernorm2", name + "output.LayerNorm", d_y, s.sum, s.mean2, s.rstd2);
    const Tensor d_ffn = dropout_backward(g, "ffn2", d_sum, p, dropout_site::feed_forward(layer));
    const Tensor d_inner = g.temporary("d inner", R, F);
    linear_backward(g, "d ffn2", name + "output.dense", d_ffn, s.inner, &d_inner,
                    {.activation = g.config.activation(), .slope_at = &s.before});
    const Tensor d_middle = g.temporary("d middle", R, H);
    linear_backward(g, "d ffn1", name + "intermediate.dense", d_inner, s.middle, &d_middle,
                    {.residual = &d_sum});
    // Attention: middle = layernorm1(dropout(Wo context + bo) + x)
    const Tensor d_attended = layer_norm_backward(g, "d layernorm1", name + "attention.output.LayerNorm",
                                                  d_middle, s.attended, s.mean1, s.rstd1);
    const Tensor d_projection =
        dropout_backward(g, "projection", d_attended, p, dropout_site::projection(layer));
    const Tensor d_read = g.temporary("d context rows", R, H);
    linear_backward(g, "d projection", name + "attention.output.dense", d_projection, s.read, &d_read);
    const Tensor d_context = of_all_tokens(g, "d context", d_read, s.rows);
    const Tensor d_qkv = g.temporary("d qkv", g.tokens, 3 * H);
    const ops::Dropout dropout = g.dropout(g.training.attention_dropout, dropout_site::attention(layer));
    ops::attention_backward(g.plan, "d attention", d_qkv, d_context, s.qkv, s.context, s.logsumexp,
                            g.tile_list, attention_options(g, dropout));
    if (!wants_d_x) {
        linear_backward(g, "d qkv", name + "attention.self.qkv", d_qkv, s.x, nullptr);
        return {};
    }
    const Tensor d_x = g.temporary("d hidden", g.tokens, H),
                 d_residual = of_all_tokens(g, "d residual", d_attended, s.rows);
    linear_backward(g, "d qkv", name + "attention.self.qkv", d_qkv, s.x, &d_x, {.residual = &d_residual});
    return d_x;
}

struct EmbeddingStates {
    Tensor sum, mean, rstd, normalized, x;  // (T,H), (T,1), (T,1), (T,H), (T,H)
};

EmbeddingStates embedding_kept(TrainingGraph& g) {
    EmbeddingStates s;
    s.sum = g.temporary("embedding sum", g.tokens, g.config.hidden_size);
    ops::embedding_forward(
        g.plan, "embedding", s.sum, g.ids, g.positions, g.types,
        {g.weight("embeddings.word_embeddings.weight"), g.weight("embeddings.position_embeddings.weight"),
         g.weight("embeddings.token_type_embeddings.weight")});
    s.normalized = layer_norm_kept(g, "embedding layernorm", s.sum, "embeddings.LayerNorm", s.mean, s.rstd);
    s.x = s.normalized;
    if (g.training.hidden_dropout > 0) {
        s.x = g.temporary("hidden 0", g.tokens, g.config.hidden_size);
        ops::dropout(g.plan, "embedding dropout", s.x, s.normalized,
                     g.dropout(g.training.hidden_dropout, dropout_site::embeddings));
    }
    return s;
}

void embedding_gradients(TrainingGraph& g, const EmbeddingStates& s, const Tensor& d_x) {
    const Tensor d_y =
        dropout_backward(g, "embedding", d_x, g.training.hidden_dropout, dropout_site::embeddings);
    const Tensor d_sum =
        layer_norm_backward(g, "d embedding layernorm", "embeddings.LayerNorm", d_y, s.sum, s.mean, s.rstd);
    const auto add = [&](const char* label, const char* table, const ops::EmbeddingRows& rows) {
        ops::embedding_backward(g.plan, label, g.gradient(std::string("embeddings.") + table + ".weight"),
                                d_sum, rows);
    };
    add("d word embeddings", "word_embeddings", g.words);
    add("d position embeddings", "position_embeddings", g.places);
    add("d segment embeddings", "token_type_embeddings", g.segments);
}

}  // namespace

Tensor layer_norm_kept(TrainingGraph& g, const std::string& label, const Tensor& x, const std::string& name,
                       Tensor& mean, Tensor& rstd) {
    const Tensor y = g.temporary(label, x.rows, x.columns);
    mean = g.plan.temporary("mean", x.rows, 1, Type::fp32);
    rstd = g.plan.temporary("rstd", x.rows, 1, Type::fp32);
    ops::layernorm_forward(g.plan, label, y, x, g.weight(name + ".weight"), g.weight(name + ".bias"),
                           {.epsilon = g.config.layer_norm_eps, .mean = &mean, .rstd = &rstd});
    return y;
}

Tensor layer_norm_backward(TrainingGraph& g, const std::string& label, const std::string& name,
                           const Tensor& d_y, const Tensor& x, const Tensor& mean, const Tensor& rstd) {
    const Tensor d_x = g.temporary(label, x.rows, x.columns);
    ops::layernorm_backward(g.plan, label, d_x, g.gradient(name + ".weight"), g.gradient(name + ".bias"), d_y,
                            x, g.weight(name + ".weight"), mean, rstd);
    return d_x;
}

void linear_backward(TrainingGraph& g, const std::string& label, const LinearNames& name, const Tensor& d_y,
                     const Tensor& x, const Tensor* d_x, ops::MatmulOptions d_x_options) {
    // d_x before d_w, whose parts are added up behind a barrier: the two products then run side by side.
    const Tensor d_weight = g.gradient(name.weight), d_bias = g.gradient(name.bias);
    if (d_x != nullptr) {
        d_x_options.orientation = ops::Orientation::nn;
        ops::matmul(g.plan, label + " input", *d_x, d_y, g.weight(name.weight), d_x_options);
    }
    ops::matmul(g.plan, label + " weight", d_weight, d_y, x,
                {.orientation = ops::Orientation::tn, .residual = &d_weight, .a_sums = &d_bias});
}

TrainingGraph::TrainingGraph(Plan plan_, const Config& config_, const WeightTable& weights_,
                             const ModelOptions& model_options_, const SessionOptions& sizes,
                             const TrainingGraphOptions& training_)
    : Graph(std::move(plan_), config_, weights_, model_options_, sizes), training(training_) {
    const uint32_t S = options.max_sequences, T = options.max_tokens;
    const auto input = [&](const char* name, Extent r, uint32_t columns, Type t) {
        inputs.push_back(plan.persistent(name, r, columns, t));
        return inputs.back();
    };
    dropout_state = input("dropout state", 1u, 4, Type::uint32);
    scalars = plan.persistent("scalars", 1u, sizeof(TrainingScalars) / 4, Type::uint32);
    switch (model_options.head) {
        case Head::token_classification:
            labels = input("labels", tokens, 1, Type::uint32);
            break;
        case Head::masked_lm:
            labels = input("labels", rows, 1, Type::uint32);
            break;
        case Head::question_answering:
            labels = input("labels", sequences, 2, Type::uint32);
            break;
        case Head::multiple_choice:
            questions = plan.symbol("questions", S);
            labels = input("labels", questions, 1, Type::uint32);
            question_offsets = input("question offsets", S + 1, 1, Type::uint32);
            break;
        default:
            labels = input("labels", sequences, 1, Type::uint32);
            targets = input("targets", sequences, 1, Type::fp32);
    }
    if (!trains_embeddings()) return;
    const auto rows_of = [&](const std::string& name, uint32_t table_rows) {
        const Extent pieces = plan.symbol(name + " pieces", ops::max_embedding_pieces(T, table_rows));
        const Extent sums = plan.symbol(name + " sums", ops::max_embedding_sums(T));
        return ops::EmbeddingRows{.order = input((name + " order").c_str(), tokens, 1, Type::uint32),
                                  .pieces = input((name + " pieces").c_str(), pieces, 4, Type::uint32),
                                  .sums = input((name + " sums").c_str(), sums, 4, Type::uint32)};
    };
    words = rows_of("words", config.vocab_size);
    places = rows_of("places", config.max_position_embeddings);
    segments = rows_of("segments", config.type_vocab_size);
}

std::optional<Tensor> TrainingGraph::head_rows() const {
    if (model_options.head == Head::masked_lm) return row_list;
    if (reads_first_tokens(model_options.head)) return first_token_rows(*this);
    return {};
}

Tensor TrainingGraph::gradient(const std::string& name) {
    if (const auto known = gradients_.find(name); known != gradients_.end()) return known->second;
    const Weight& w = weights.at(name);
    const Tensor t = plan.persistent("d " + name, w.rows, w.columns, Type::fp32);
    bound_gradients[t.storage] = name;
    return gradients_[name] = t;
}

void build_training(TrainingGraph& g) {
    const uint32_t L = g.config.num_hidden_layers;
    const EmbeddingStates embeddings = embedding_kept(g);
    std::vector<LayerStates> layers;
    Tensor x = embeddings.x;
    const auto prefix = [&](uint32_t layer) {
        g.plan.set_label_prefix("layer " + std::to_string(layer) + " ");
    };
    for (uint32_t layer = 0; layer < L; ++layer) {
        prefix(layer);
        layers.push_back(layer_forward(g, layer, x));
        x = layers.back().y;
    }
    g.plan.set_label_prefix("");
    Tensor d_x = head_and_loss(g, x);
    for (uint32_t layer = L; layer-- > g.first_layer();) {
        prefix(layer);
        // The states of the first pass then end with it: a temporary lives from its first use to its last.
        const LayerStates states =
            g.training.recompute ? layer_forward(g, layer, layers[layer].x) : layers[layer];
        d_x = layer_backward(g, layer, states, d_x, layer > g.first_layer() || g.trains_embeddings());
    }
    g.plan.set_label_prefix("");
    if (g.trains_embeddings()) embedding_gradients(g, embeddings, d_x);
    g.plan.finish();
}

}  // namespace vkbert
