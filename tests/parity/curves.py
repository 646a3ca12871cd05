#!/usr/bin/env python3
"""`vkbert finetune` and PyTorch side by side on SST-2: the same start, order of data and settings, dropout off.

    python tests/parity/curves.py --model FOLDER_OF_ALL_MINILM_L6_V2 [--steps 200]

Passes when the losses of the first 50 steps differ by at most 1e-3 relative (with --precision fp16 all of them by at most 2%, from
PyTorch's in fp32) and the accuracies on the dev set by at most 1.0 point.
"""

import argparse
import json
import pathlib
import shutil

import torch
import transformers

import common

MASK = (1 << 64) - 1
BATCH, LENGTH, RATE, DECAY, WARMUP = 32, 128, 2e-5, 0.01, 0.1


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def order(count, seed, epoch):
    """bert/batches.hpp's shuffled_order: Fisher-Yates over a counter-based stream."""
    base = mix(seed ^ mix(epoch + 1))
    permutation = list(range(count))
    for i in range(count, 1, -1):
        word = mix((base + i * 0x9E3779B97F4A7C15) & MASK)
        j = (word >> 32) * i >> 32
        permutation[i - 1], permutation[j] = permutation[j], permutation[i - 1]
    return permutation


def read(path):
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line]
    return [text for text, _ in rows], [int(label) for _, label in rows]


def batch_of(tokenizer, texts, labels, indices):
    inputs = tokenizer([texts[i] for i in indices], truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
    return inputs, torch.tensor([labels[i] for i in indices])


def optimizer_of(model, steps, rate=RATE):
    plain = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0}], lr=rate)
    return optimizer, transformers.get_linear_schedule_with_warmup(optimizer, -(-steps * WARMUP // 1), steps)


def accuracy(model, tokenizer, texts, labels):
    model.eval()
    right = 0
    with torch.no_grad():
        for first in range(0, len(texts), 64):
            inputs, truth = batch_of(tokenizer, texts, labels, range(first, min(first + 64, len(texts))))
            right += int((model(**inputs).logits.argmax(1) == truth).sum())
    return right / len(texts)


def reference(folder, data, steps, seed):
    """Losses of every step, and the accuracy at the end."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    model.eval()  # dropout off
    texts, labels = read(data / "sst2/train.tsv")
    optimizer, schedule = optimizer_of(model, steps)
    losses, sequence = [], order(len(texts), seed, 0)
    for step in range(steps):
        inputs, truth = batch_of(tokenizer, texts, labels, sequence[step * BATCH:(step + 1) * BATCH])
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, truth)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, accuracy(model, tokenizer, *read(data / "sst2/dev.tsv"))


def ours(args, folder, output, precision):
    shutil.rmtree(output, ignore_errors=True)
    common.vkbert(args, "finetune", "--model", folder, "--task", "sst2", "--train", args.data / "sst2/train.tsv",
                         "--eval", args.data / "sst2/dev.tsv", "--output", output, "--max-steps", args.steps, "--epochs", 1,
                         "--batch-size", BATCH, "--max-length", LENGTH, "--learning-rate", RATE, "--weight-decay", DECAY,
                         "--warmup", WARMUP, "--dropout", 0, "--seed", args.seed, "--precision", precision)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line], [line["eval"] for line in lines if "eval" in line][-1]["accuracy"]


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--layers", type=int, help="keep the first of the model's, for devices on which all of them take hours")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "fp16"], default="fp32")
    args = common.parse(parser)
    start = args.work / "curves-start"
    torch.manual_seed(args.seed)
    fewer = {} if args.layers is None else {"num_hidden_layers": args.layers}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=2, **fewer)
    model.save_pretrained(start)  # with the classifier that both begin with
    transformers.AutoTokenizer.from_pretrained(args.model).save_pretrained(start)
    losses, score = ours(args, start, args.work / "curves-output", args.precision)
    expected, expected_score = reference(start, args.data, args.steps, args.seed)
    first = min(50, args.steps)
    worst = max(abs(a - b) / b for a, b in zip(losses[:first], expected[:first]))
    whole = max(abs(a - b) / b for a, b in zip(losses, expected))
    limit, whole_limit = (1e-3, float("inf")) if args.precision == "fp32" else (float("inf"), 0.02)
    common.verdict(f"curves {args.precision}", {
        "steps": args.steps, "largest relative difference of the first 50 losses": worst, f"(limit {limit})": None,
        "over all steps": whole, f"(limit {whole_limit})": None,
        "last losses": f"{losses[-1]:.5f} {expected[-1]:.5f}", "dev accuracy": score, "PyTorch's in fp32": expected_score,
        "(limit 1.0 point)": None}, worst <= limit and whole <= whole_limit and abs(score - expected_score) <= 0.01 and len(losses) == args.steps)


if __name__ == "__main__":
    main()
