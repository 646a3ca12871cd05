#include "bert/layers.hpp"

#include <algorithm>

namespace vkbert {

namespace {

/// Hidden states wanted as indices 0..L, in the caller's order.
std::vector<uint32_t> wanted_layers(const Graph& g) {
    const int count = int(g.config.num_hidden_layers);
    std::vector<uint32_t> wanted;
    for (const int layer : g.options.layers) {
        const int index = layer < 0 ? count + 1 + layer : layer;
        if (index < 0 || index > count)
            fail(ErrorCode::invalid_argument,
                 "there is no hidden state {}: the model has 0 (embeddings) to {}", layer, count);
        wanted.push_back(uint32_t(index));
    }
    return wanted;
}

/// The rows that the last layer must compute for what the session wants.
LastRows last_rows(Graph& g) {
    const auto& o = g.options;
    const bool masked =
        o.output == Output::top_k || (o.output == Output::logits && g.model_options.head == Head::masked_lm);
    if (masked) return {true, g.row_list, g.tile_list, g.tiles, g.pairs};
    const bool first = o.output == Output::pooler ||
                       (o.output == Output::logits && reads_first_tokens(g.model_options.head)) ||
                       (o.output == Output::sentence && o.pooling == ops::Pooling::first &&
                        wanted_layers(g) == std::vector<uint32_t>{g.config.num_hidden_layers});
    if (!first) return {};
    return {true, first_token_rows(g), g.first_tile_list, g.first_tiles, g.first_pairs};
}

/// Writes hidden state `x` to where the host reads it.
void finish_hidden_state(Graph& g, const std::string& label, const Tensor& x, bool restricted) {
    const uint32_t hidden = g.config.hidden_size;
    if (g.options.output == Output::hidden_states) {
        if (g.type == Type::fp16) ops::cast(g.plan, label + " result", g.result(label, g.tokens, hidden), x);
        return;  // fp32: the layer wrote it in place
    }
    const Tensor result = g.result(label, g.sequences, hidden);
    // (S,H) fp32. Restricted rows of fp32 come here to be normalized only: else the layer wrote the result
    // itself.
    Tensor rows = x;
    rows.rows = g.sequences;
    if (!restricted || x.type == Type::fp16) {
        const Tensor first = rows;
        rows = g.options.normalize ? g.plan.temporary(label + " pooled", g.sequences, hidden) : result;
        if (restricted)
            ops::cast(g.plan, label + " pooling", rows, first);
        else
            ops::pool_forward(g.plan, label + " pooling", rows, x, g.offsets, g.options.pooling);
    }
    if (g.options.normalize) ops::normalize_rows(g.plan, label + " normalize", result, rows);
}

}  // namespace

bool reads_first_tokens(Head head) {
    return head == Head::next_sentence || head == Head::sequence_classification ||
           head == Head::multiple_choice;
}

Tensor first_token_rows(const Graph& g) {
    // offsets[s] is the row of sequence s's first token, so the list of rows is there already.
    return Plan::tensor_at(g.offsets.storage, 0, g.sequences, 1, Type::uint32);
}

Graph::Graph(Plan plan_, const Config& config_, const WeightTable& weights_,
             const ModelOptions& model_options_, const SessionOptions& options_)
    : plan(std::move(plan_)),
      config(config_),
      weights(weights_),
      model_options(model_options_),
      options(options_),
      type(model_options_.precision == Precision::fp16 ? Type::fp16 : Type::fp32) {
    const uint32_t T = options.max_tokens, S = options.max_sequences;
    const uint32_t most_tiles = ops::max_attention_tiles(T, S);
    const uint64_t most_pairs = uint64_t(T) * std::min(T, config.max_position_embeddings);
    tokens = plan.symbol("tokens", T);
    sequences = plan.symbol("sequences", S);
    rows = plan.symbol("rows", std::max(options.max_rows, 1u));
    tiles = plan.symbol("tiles", most_tiles);
    pairs = plan.symbol("pairs", uint32_t(std::min<uint64_t>(most_pairs, ~0u)));
    first_tiles = plan.symbol("first tiles", S);
    first_pairs = plan.symbol("first pairs", T);
    auto input = [&](const char* name, Extent r, uint32_t columns, Type t) {
        inputs.push_back(plan.persistent(name, r, columns, t));
        return inputs.back();
    };
    ids = input("ids", tokens, 1, Type::uint32);
    types = input("types", tokens, 1, Type::uint32);
    positions = input("positions", tokens, 1, Type::uint32);
    offsets = input("offsets", S + 1, 1, Type::uint32);
    tile_list = input("tiles", tiles, 4, Type::uint32);
    first_tile_list = input("first tiles", first_tiles, 4, Type::uint32);
    row_list = input("rows", rows, 1, Type::uint32);
    if (options.from_embeddings) embeddings = input("embeddings", tokens, config.hidden_size, Type::fp32);
}

Tensor Graph::weight(const std::string& name) {
    if (const auto known = bound_.find(name); known != bound_.end()) return known->second;
    const auto place = weights.find(name);
    if (place == weights.end()) fail(ErrorCode::invalid_argument, "the model was loaded without '{}'", name);
    const Weight& w = place->second;
    const ops::Strips strips =
        w.in_strips ? ops::strips_of(w.rows, w.columns) : ops::Strips{w.rows, w.columns};
    const Tensor t = plan.persistent(name, strips.rows, strips.columns, w.type);
    bound_weights[t.storage] = &w;
    return bound_[name] = t;
}

Tensor Graph::temporary(const std::string& name, Extent rows_, uint32_t columns) {
    return plan.temporary(name, rows_, plan.activation_pitch(columns, type), type).columns_at(0, columns);
}

Tensor Graph::result(const std::string& name, Extent rows_, uint32_t columns) {
    Tensor t = plan.persistent("result " + name, rows_, padded(columns), Type::fp32);
    t.columns = columns;
    results.push_back(t);
    return t;
}

void linear(Graph& g, const std::string& label, const Tensor& output, const Tensor& input,
            const LinearNames& name, ops::MatmulOptions options) {
    const Tensor bias = g.weight(name.bias);
    options.bias = &bias;
    const Tensor weight = g.weight(name.weight);
    options.b_in_strips = g.weights.at(name.weight).in_strips;
    ops::matmul(g.plan, label, output, input, weight, options);
}

void layer_norm(Graph& g, const std::string& label, const Tensor& output, const Tensor& input,
                const std::string& name) {
    ops::LayerNormOptions options;
    options.epsilon = g.config.layer_norm_eps;
    ops::layernorm_forward(g.plan, label, output, input, g.weight(name + ".weight"), g.weight(name + ".bias"),
                           options);
}

Tensor embed(Graph& g) {
    const uint32_t hidden = g.config.hidden_size;
    if (g.options.from_embeddings) {
        if (g.type == Type::fp32) return g.embeddings;
        const Tensor x = g.temporary("hidden 0", g.tokens, hidden);
        ops::cast(g.plan, "embeddings cast", x, g.embeddings);
        return x;
    }
    const Tensor sum = g.temporary("embedding sum", g.tokens, hidden);
    ops::embedding_forward(
        g.plan, "embedding", sum, g.ids, g.positions, g.types,
        {g.weight("embeddings.word_embeddings.weight"), g.weight("embeddings.position_embeddings.weight"),
         g.weight("embeddings.token_type_embeddings.weight")});
    const bool wanted = g.options.output == Output::hidden_states && g.type == Type::fp32 &&
                        std::ranges::count(wanted_layers(g), 0u);
    const Tensor x =
        wanted ? g.result("hidden 0", g.tokens, hidden) : g.temporary("hidden 0", g.tokens, hidden);
    layer_norm(g, "embedding layernorm", x, sum, "embeddings.LayerNorm");
    return x;
}

Tensor encoder_layer(Graph& g, uint32_t layer, const Tensor& x, const LastRows& last, const Tensor* output) {
    const uint32_t H = g.config.hidden_size, F = g.config.intermediate_size;
    const std::string name = "encoder.layer." + std::to_string(layer) + ".";
    g.plan.set_label_prefix("layer " + std::to_string(layer) + " ");

    const Tensor qkv = g.temporary("qkv", g.tokens, 3 * H);  // (T,3H)
    linear(g, "qkv", qkv, x, name + "attention.self.qkv");
    Tensor context = g.temporary("context", g.tokens, H);  // (T,H)
    ops::AttentionOptions attention;
    attention.heads = g.config.num_attention_heads;
    attention.causal = g.options.causal;
    attention.pairs = last.restricted ? last.pairs : g.pairs;
    ops::attention_forward(g.plan, "attention", context, qkv, last.restricted ? last.tile_list : g.tile_list,
                           attention);

    Tensor residual = x;  // (T,H)
    Extent rows = g.tokens;
    if (last.restricted) {  // from here on only the rows that are read
        rows = last.list.rows;
        const Tensor few = g.temporary("context rows", rows, H),
                     few_x = g.temporary("residual rows", rows, H);
        ops::gather_rows(g.plan, "context rows", few, context, last.list);
        ops::gather_rows(g.plan, "residual rows", few_x, residual, last.list);
        context = few, residual = few_x;
    }
    const Tensor attended = g.temporary("attended", rows, H), middle = g.temporary("middle", rows, H);
    linear(g, "projection", attended, context, name + "attention.output.dense", {.residual = &residual});
    layer_norm(g, "layernorm1", middle, attended, name + "attention.output.LayerNorm");
    const Tensor inner = g.temporary("inner", rows, F);  // (T,F)
    linear(g, "ffn1", inner, middle, name + "intermediate.dense", {.activation = g.config.activation()});
    const Tensor sum = g.temporary("ffn sum", rows, H);
    linear(g, "ffn2", sum, inner, name + "output.dense", {.residual = &middle});
    const Tensor y = output ? *output : g.temporary("hidden", rows, H);
    layer_norm(g, "layernorm2", y, sum, name + "output.LayerNorm");
    g.plan.set_label_prefix("");
    return y;
}

void build(Graph& g) {
    const auto& o = g.options;
    const uint32_t L = g.config.num_hidden_layers, H = g.config.hidden_size;
    const bool by_layer = o.output == Output::hidden_states || o.output == Output::sentence;
    const std::vector<uint32_t> wanted = by_layer ? wanted_layers(g) : std::vector<uint32_t>{L};
    const uint32_t deepest = *std::ranges::max_element(wanted);
    const LastRows last = last_rows(g);

    std::map<uint32_t, size_t> result_of;  // hidden state -> index in g.results, where there is one already
    std::vector<Tensor> order;
    auto finish = [&](uint32_t index, const Tensor& x, bool restricted) {
        if (!by_layer || !std::ranges::count(wanted, index)) return;
        const std::string label = "hidden " + std::to_string(index);
        const bool in_place = !g.results.empty() && g.results.back().storage == x.storage;
        if (!in_place) {
            if (o.from_embeddings && index == 0 && o.output == Output::hidden_states && g.type == Type::fp32)
                fail(ErrorCode::invalid_argument, "hidden state 0 of this session is its input");
            finish_hidden_state(g, label, x, restricted);
        }
        result_of[index] = g.results.size() - 1;
    };
    Tensor x = embed(g);
    finish(0, x, false);
    for (uint32_t layer = 0; layer < deepest; ++layer) {
        const bool is_last = layer + 1 == L;
        const LastRows rows = is_last ? last : LastRows{};
        const bool in_place = g.type == Type::fp32 && std::ranges::count(wanted, layer + 1) &&
                              (o.output == Output::hidden_states ||
                               (o.output == Output::sentence && rows.restricted && !o.normalize));
        Tensor output;
        if (in_place)
            output =
                g.result("hidden " + std::to_string(layer + 1), rows.restricted ? g.sequences : g.tokens, H);
        x = encoder_layer(g, layer, x, rows, in_place ? &output : nullptr);
        finish(layer + 1, x, rows.restricted);
    }
    if (by_layer) {
        for (const uint32_t index : wanted) order.push_back(g.results[result_of.at(index)]);
        g.results = order;
    } else {
        append_head(g, x);
    }
    g.plan.finish();
}

}  // namespace vkbert
