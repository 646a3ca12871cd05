#!/usr/bin/env python3
"""A checkpoint with multilingual BERT's vocabulary (119,547 x 768 fp32, 350 MiB) on a driver that binds at most 128 MiB:
last hidden states within 2e-4 of PyTorch, and fill-mask through the tied decoder.

    python tests/parity/big_table.py

The texts use tokens from both ends of the table. Fails when the device's maxStorageBufferRange would hold the whole
table, because then nothing was proved (--any-device: compare all the same).
"""

import json

import numpy as np
import torch

import common

LIMIT = 2e-4
SCORE_LIMIT = 1e-4  # of the best score
TOP_K = 10
TEXTS = ["The capital of France is [MASK].", "[MASK] Москва - столица России, а 東京 は 日本 の [MASK] です。",
         "Die Donau fließt durch Wien und [MASK]."]


def binding_limit(args):
    """maxStorageBufferRange of the device that vkbert uses, in bytes."""
    printed = json.loads(common.vkbert(args, "devices", "--json")[0])
    devices = printed if isinstance(printed, list) else printed["devices"]
    chosen = [device for device in devices if device.get("selected")] or devices[:1]
    return int(chosen[0]["max_storage_buffer_range"])


def spelled(tokenizer, token_id):
    """A text that the tokenizer turns into this token, or a word that ends in it; None when there is none."""
    token = tokenizer.convert_ids_to_tokens(token_id)
    text = "zq" + token[2:] if token.startswith("##") else token
    return text if token_id in tokenizer(text, add_special_tokens=False)["input_ids"] else None


def border_text(tokenizer):
    """Words whose tokens lie on both sides of every 128 MiB border of the table, and at its two ends."""
    size, rows = len(tokenizer), (128 << 20) // (768 * 4)
    starts = [(border, step) for border in range(rows, size, rows) for step in (-1, 1)] + [(999, 1), (size, -1)]
    words = []
    for start, step in starts:
        candidates = range(start if step > 0 else start - 1, start + 4000 * step, step)
        words.append(next(text for text in (spelled(tokenizer, i) for i in candidates) if text))
    return " ".join(words)


def expected_masks(model, tokenizer, text):
    """Probabilities over the vocabulary at each [MASK] of the text: (masks, V)."""
    inputs = common.encode(tokenizer, text)
    with torch.no_grad():
        logits = model(**inputs).logits[0][inputs["input_ids"][0] == tokenizer.mask_token_id]
    return logits.softmax(-1).numpy()


def fill_mask_difference(args, folder, model, tokenizer):
    """Largest difference of a top-10 score, or of its word's probability in transformers, from what stands at that rank
    there, as a part of the best; infinite when the counts differ."""
    lines = common.vkbert_lines(args, "fill-mask", "--model", folder, "--precision", "fp32", "--top-k", TOP_K, *TEXTS)
    worst = 0.0
    for line, text in zip(lines, TEXTS, strict=True):
        for mask, probabilities in zip(line["masks"], expected_masks(model, tokenizer, text), strict=True):
            ids = [p["id"] for p in mask["predictions"]]
            scores = np.array([p["score"] for p in mask["predictions"]])
            best = np.sort(probabilities)[::-1][:TOP_K]
            assert [p["token"] for p in mask["predictions"]] == [tokenizer.decode([i]) for i in ids], "token texts"
            worst = max(worst, common.max_difference(scores, best) / best[0],
                        common.max_difference(probabilities[ids], best) / best[0])
    return worst


def main():
    options = common.parser(__doc__)
    options.add_argument("--any-device", action="store_true")
    args = common.parse(options)
    folder, model = common.saved_model(
        args, "random-multilingual", "BertForMaskedLM", "bert-base-multilingual-cased-vocab.txt", seed=12,
        lower_case=False, spread=0.05, num_hidden_layers=2, hidden_size=768, num_attention_heads=12,
        intermediate_size=3072)
    tokenizer = common.tokenizer_of(folder)
    texts = TEXTS + [border_text(tokenizer)]
    inputs = [common.encode(tokenizer, text) for text in texts]
    expected = np.concatenate([common.last_hidden(model, one) for one in inputs])
    path = common.write_jsonl(args.work / "big_table.jsonl", [{"text": text} for text in texts])
    output = args.work / "big_table.npy"
    common.vkbert(args, "embed", "--model", folder, "--pooling", "none", "--no-normalize", "--precision", "fp32",
                  "--input", path, "--input-format", "jsonl", "--output", output)
    difference = common.max_difference(np.load(output), expected)
    scores = fill_mask_difference(args, folder, model, tokenizer)
    limit, table = binding_limit(args), len(tokenizer) * 768 * 4
    common.verdict("big table", {
        "table MiB": table >> 20, "maxStorageBufferRange MiB": limit >> 20,
        "ids": f"{min(int(i['input_ids'].min()) for i in inputs)} to {max(int(i['input_ids'].max()) for i in inputs)}",
        "hidden difference": difference, "(limit 2e-4), fill-mask score difference": scores, "(limit)": SCORE_LIMIT,
    }, difference <= LIMIT and scores <= SCORE_LIMIT and (args.any_device or limit < table))


if __name__ == "__main__":
    main()
