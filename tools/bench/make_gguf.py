#!/usr/bin/env python3
"""Writes a BERT as GGUF, so that llama.cpp can be timed on the same checkpoint.

    make_gguf.py f32|f16 OUT.gguf --model FOLDER    a Hugging Face folder: config.json, model.safetensors, vocab.txt
    make_gguf.py f32|f16 OUT.gguf --random base     BERT-base's shape with random weights (speed does not depend on them)

Needs numpy and gguf."""
import argparse
import json
import pathlib

import gguf
import numpy as np

BASE = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072,
        "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
SPECIAL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def names(layers):
    """Hugging Face's parameter name -> GGUF's."""
    table = {"embeddings.word_embeddings.weight": "token_embd.weight",
             "embeddings.position_embeddings.weight": "position_embd.weight",
             "embeddings.token_type_embeddings.weight": "token_types.weight",
             "embeddings.LayerNorm.weight": "token_embd_norm.weight",
             "embeddings.LayerNorm.bias": "token_embd_norm.bias"}
    parts = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
             "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
             "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
    for layer in range(layers):
        for source, target in parts.items():
            for kind in ("weight", "bias"):
                table[f"encoder.layer.{layer}.{source}.{kind}"] = f"blk.{layer}.{target}.{kind}"
    return table


def shape_of(name, config):
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    if "embeddings." in name and "LayerNorm" not in name:
        rows = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
        return config[next(key for part, key in rows.items() if f".{part}_embeddings" in name)], hidden
    outer = wide if "intermediate" in name else hidden
    if name.endswith("bias") or "LayerNorm" in name:
        return (outer,)
    return outer, wide if "output.dense" in name and "attention" not in name else hidden


def random_tensors(config):
    generator = np.random.default_rng(0)
    for name in names(config["num_hidden_layers"]):
        shape = shape_of(name, config)
        if len(shape) == 2:
            yield name, generator.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        else:
            yield name, np.full(shape, 1.0 if name.endswith("LayerNorm.weight") else 0.0, np.float32)


def file_tensors(path):
    data = np.memmap(path, np.uint8, "r")
    length = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8:8 + length]))
    kinds = {"F32": np.float32, "F16": np.float16}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in kinds:
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        yield name.removeprefix("bert."), data[begin:end].view(kinds[entry["dtype"]]).reshape(entry["shape"])


def vocabulary(folder, size):
    """llama.cpp marks the beginning of words where WordPiece marks what continues one."""
    if folder is None:
        fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
        tokens = [fixed.get(i, f"w{i}") for i in range(size)]
    else:
        tokens = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:size]
    marked = [t if t in SPECIAL else t[2:] if t.startswith("##") else "\u2581" + t for t in tokens]
    return tokens, marked


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["f32", "f16"])
    parser.add_argument("out")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=pathlib.Path)
    source.add_argument("--random", choices=["base"])
    arguments = parser.parse_args()

    config = BASE if arguments.random else json.loads((arguments.model / "config.json").read_text())
    tokens, marked = vocabulary(arguments.model, config["vocab_size"])
    writer = gguf.GGUFWriter(arguments.out, "bert")
    writer.add_name("bert")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_file_type(0 if arguments.kind == "f32" else 1)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(marked)
    writer.add_token_types([3 if t in SPECIAL else 1 for t in tokens])
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_sep_token_id(tokens.index("[SEP]"))
    writer.add_pad_token_id(tokens.index("[PAD]"))
    writer.add_mask_token_id(tokens.index("[MASK]"))
    writer.add_bos_token_id(tokens.index("[CLS]"))
    writer.add_eos_token_id(tokens.index("[SEP]"))

    table = names(config["num_hidden_layers"])
    tensors = random_tensors(config) if arguments.random else file_tensors(arguments.model / "model.safetensors")
    written = set()
    for name, values in tensors:
        if name not in table:
            continue  # the pooler and heads, which llama.cpp does not use
        half = arguments.kind == "f16" and values.ndim == 2 and "position" not in name and "token_type" not in name
        writer.add_tensor(table[name], np.ascontiguousarray(values, np.float16 if half else np.float32))
        written.add(name)
    if written != set(table):
        raise SystemExit(f"missing tensors: {sorted(set(table) - written)[:3]}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
