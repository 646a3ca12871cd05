#!/usr/bin/env python3
"""Writes the golden models of tests/golden_test.cpp: tiny random BERTs as Hugging Face saves them, and what
transformers computes with them (float64, stored as fp32), in expected.safetensors beside each.

    python tests/golden/generate.py [--only NAME ...]

Needs torch, transformers, safetensors. Deterministic: a second run writes the same weights (same torch version).
"""

import argparse
import json
import pathlib
import shutil
import tempfile

import numpy as np
import safetensors.numpy
import torch
import transformers

HERE = pathlib.Path(__file__).parent

WORDS = """the a an of and to in is was it for on as by with that this his her at from he she be are not were which
or but they their one all we can has have no paris london berlin ada lovelace capital city river dog cat walks ran
likes movie good bad great terrible why who where when what king queen first second world time people day year""".split()


def vocabulary(size):
    """`size` distinct WordPiece entries: specials, punctuation, digits, letters, ##letters, words, [unusedN]."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += list("!\"'(),-.:;?") + list("0123456789") + list(letters) + ["##" + c for c in letters]
    tokens += [w for w in WORDS if w not in tokens] + ["##s", "##ing", "##ed"]
    tokens = list(dict.fromkeys(tokens))
    tokens += [f"[unused{i}]" for i in range(max(0, size - len(tokens)))]
    return tokens[:size]


def config(hidden, heads, feed_forward, **changes):
    settings = dict(vocab_size=200, hidden_size=hidden, num_attention_heads=heads, intermediate_size=feed_forward,
                    num_hidden_layers=2, max_position_embeddings=48, type_vocab_size=2, hidden_act="gelu")
    return transformers.BertConfig(**(settings | changes))


NER_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def labels(names):
    return dict(id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)})


# name: (class, config, options). What each adds beside its head stands in README.md.
MODELS = {
    "encoder": ("BertModel", config(48, 4, 96), dict(max_shard_size="80KB")),
    "pretraining": ("BertForPreTraining", config(32, 2, 64), {}),
    "masked_lm": ("BertForMaskedLM", config(52, 2, 100, vocab_size=199, hidden_act="gelu_new"), {}),
    "next_sentence": ("BertForNextSentencePrediction", config(48, 3, 96, hidden_act="relu", layer_norm_eps=1e-5), {}),
    "classification": ("BertForSequenceClassification",
                       config(32, 4, 72, num_hidden_layers=3, **labels(["negative", "neutral", "positive"])), {}),
    "regression": ("BertForSequenceClassification",
                   config(128, 2, 128, num_hidden_layers=1, vocab_size=120, max_position_embeddings=33,
                          problem_type="regression", **labels(["LABEL_0"])), dict(dtype=torch.float16)),
    "token_classification": ("BertForTokenClassification",
                             config(64, 1, 64, type_vocab_size=1, **labels(NER_LABELS)), {}),
    "question_answering": ("BertForQuestionAnswering", config(36, 3, 60, hidden_act="gelu_pytorch_tanh"), {}),
    "multiple_choice": ("BertForMultipleChoice", config(32, 2, 512), dict(dtype=torch.bfloat16)),
}


def randomize(model, generator):
    """Weights of a size at which attention is uneven and no term (bias, gamma, beta) could go missing unnoticed."""
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if name.endswith("LayerNorm.weight"):
            values = 1 + 0.2 * values
        elif parameter.dim() == 1:
            values *= 0.2
        elif "embeddings" in name:
            values *= 0.5
        else:
            values *= 1.4 / parameter.shape[1] ** 0.5
        parameter.data.copy_(values)


def sequences(settings, generator):
    """Packed inputs of mixed lengths: ids (T), type ids (T), offsets (S+1). Even sequences are pairs."""
    longest = settings.max_position_embeddings
    ids, types, offsets = [], [], [0]
    for index, length in enumerate([7, longest, 1, 16, 33, 2, 17]):
        row = torch.randint(5, settings.vocab_size, (length,), generator=generator).tolist()
        row[0] = 2
        if length > 1:
            row[-1] = 3
        split = length * 2 // 5 + 1 if index % 2 == 0 and settings.type_vocab_size > 1 else length
        if split < length:
            row[split - 1] = 3
        ids += row
        types += [0] * split + [1] * (length - split)
        offsets.append(len(ids))
    return ids, types, offsets


def forward(model, ids, types):
    """Outputs of one unpadded sequence, or of one question with several choices, in float64."""
    inputs = dict(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
    if isinstance(model, transformers.BertForMultipleChoice):
        inputs = {name: value[None] for name, value in inputs.items()}
    with torch.no_grad():
        return model(**inputs, output_hidden_states=True)


# output of transformers -> name in expected.safetensors, where every output has a row a token or a row a sequence
LOGITS = {"logits": "logits", "prediction_logits": "logits", "seq_relationship_logits": "next_sentence_logits",
          "start_logits": "start_logits", "end_logits": "end_logits"}


def expected_outputs(model, ids, types, offsets):
    """Packed over sequences: hidden.0 .. hidden.L (T,H), pooled (S,H), each head's logits; pooling of BertModel."""
    rows = {}

    def append(name, value):
        rows.setdefault(name, []).append(value)

    for begin, end in zip(offsets, offsets[1:]):
        output = forward(model, ids[begin:end], types[begin:end])
        for layer, hidden in enumerate(output.hidden_states):
            append(f"hidden.{layer}", hidden[0])
        last = output.hidden_states[-1][0]
        encoder = getattr(model, "bert", model)
        if encoder.pooler is not None:
            append("pooled", encoder.pooler(last[None]).detach())
        if encoder is model:
            append("mean", last.mean(0, keepdim=True))
            append("max", last.max(0, keepdim=True).values)
            append("mean_normalized", torch.nn.functional.normalize(last.mean(0, keepdim=True)))
        for key, name in LOGITS.items():
            if key in output:
                columns = 1 if key in ("start_logits", "end_logits") else output[key].shape[-1]
                append(name, output[key].reshape(-1, columns))
    return {name: torch.cat(values).to(torch.float32).numpy() for name, values in rows.items()}


def write(name, folder):
    class_name, settings, options = MODELS[name]
    seed = 1 + list(MODELS).index(name)
    generator = torch.Generator().manual_seed(seed)
    settings._attn_implementation = "eager"
    settings.architectures = [class_name]
    model = getattr(transformers, class_name)(settings).eval()
    randomize(model, generator)
    model.tie_weights()
    if hasattr(model, "cls") and hasattr(model.cls, "predictions"):
        model.cls.predictions.bias.data.copy_(model.cls.predictions.decoder.bias.data)  # one bias
    model = model.to(options.get("dtype", torch.float32))
    model.save_pretrained(folder, **({k: v for k, v in options.items() if k == "max_shard_size"}))
    model = model.double()
    (folder / "vocab.txt").write_text("\n".join(vocabulary(settings.vocab_size)) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=settings.max_position_embeddings)) + "\n")
    ids, types, offsets = sequences(settings, generator)
    outputs = expected_outputs(model, ids, types, offsets)
    inputs = dict(input_ids=ids, token_type_ids=types, offsets=offsets)
    outputs |= {key: np.asarray(value, np.int32) for key, value in inputs.items()}
    safetensors.numpy.save_file(
        {key: np.ascontiguousarray(value) for key, value in outputs.items()}, folder / "expected.safetensors",
        metadata=dict(torch=torch.__version__, transformers=transformers.__version__, seed=str(seed)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS))
    for name in parser.parse_args().only:
        target = HERE / name
        with tempfile.TemporaryDirectory(dir=HERE) as temporary:
            folder = pathlib.Path(temporary) / name
            folder.mkdir()
            write(name, folder)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
        print(f"{name}: {sum(f.stat().st_size for f in target.iterdir())} bytes")


if __name__ == "__main__":
    main()
