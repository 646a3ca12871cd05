#!/usr/bin/env python3
"""Device memory of `vkbert finetune` against what it predicted, for BASE and LARGE with --recompute and --accumulate, and under
--memory-limit 2GiB.

    python tests/parity/training_memory.py [--model large]

Passes when every prediction is within 2% of what was used, --recompute and --accumulate each lower it, and BASE under 2 GiB
stays there, with micro-batches that are smaller and the losses of the run without a limit.
"""

import json
import re
import shutil
import subprocess
import sys

import common

SHAPES = {"base": dict(num_hidden_layers=12, hidden_size=768, num_attention_heads=12, intermediate_size=3072),
          "large": dict(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, intermediate_size=4096)}
BATCH, LENGTH = 4, 128
VARIANTS = {"": [], "--accumulate 4": ["--accumulate", 4], "--recompute": ["--recompute"],
            "--accumulate 4 --recompute": ["--accumulate", 4, "--recompute"]}
LIMIT = 2 << 30


def training_file(args, examples):
    """Examples that are longer than LENGTH tokens, so that each has that many."""
    sentences = common.sst2(args.data)
    path = args.work / "training_memory.tsv"
    rows = [" ".join(sentences[(20 * i + j) % len(sentences)] for j in range(20)) + f"\t{i % 2}" for i in range(examples)]
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


def finetune(args, model, steps, options, batch=BATCH):
    """(bytes predicted, bytes used, tokens of a micro-batch, losses)"""
    output = args.work / "training_memory"
    shutil.rmtree(output, ignore_errors=True)
    command = [args.vkbert, "finetune", "--model", model, "--task", "classification", "--train",
               training_file(args, batch * steps), "--output", output, "--batch-size", batch, "--max-length", LENGTH,
               "--max-steps", steps, "--dropout", 0, "--warmup", 0, "--device", args.device, "--verbose", *options]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"exit code {result.returncode}\n{result.stderr[-3000:]}")
    predicted, tokens = re.search(r"(\d+) bytes predicted, for micro-batches of (\d+) tokens", result.stderr).groups()
    used = re.search(r"(\d+) bytes at most were used", result.stderr)[1]
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    shutil.rmtree(output)
    return int(predicted), int(used), int(tokens), [line["loss"] for line in lines if "loss" in line]


def table(args, name, model):
    before = None
    print(f"{name}, {BATCH} x {LENGTH} tokens, fp32\n\n| options | predicted MB | used MB | of the whole |\n|---|---|---|---|")
    fine = True
    for label, options in VARIANTS.items():
        predicted, used, _, _ = finetune(args, model, 1, options)
        before = before or used
        print(f"| {label or 'none'} | {predicted / 1e6:.0f} | {used / 1e6:.0f} | {used / before:.2f} |", flush=True)
        fine &= abs(predicted - used) <= 0.02 * used and (used < before or not label)
    print()
    return fine


def limited(args, model):
    steps, batch = 2, 3 * BATCH
    _, whole, tokens, losses = finetune(args, model, steps, [], batch)
    predicted, used, few, same = finetune(args, model, steps, ["--memory-limit", "2GiB"], batch)
    difference = max(abs(a - b) / b for a, b in zip(same, losses))
    common.verdict("--memory-limit 2GiB", {
        "without MB": whole / 1e6, "micro-batch tokens": tokens, "with MB": used / 1e6, "predicted MB": predicted / 1e6,
        "micro-batch tokens then": few, "largest relative difference of losses": difference},
        used <= LIMIT < whole and few < tokens and difference <= 1e-5 and len(same) == steps)


def main():
    options = common.parser(__doc__)
    options.add_argument("--model", choices=SHAPES, action="append")
    args = common.parse(options)
    fine = True
    for name in args.model or SHAPES:
        model, _ = common.saved_model(args, f"random-{name}", "BertModel", "bert-base-uncased-vocab.txt", 11, **SHAPES[name])
        fine &= table(args, name, model)
        if name == "base":
            limited(args, model)
    common.verdict("training memory", {"predictions within 2% and every option lower": fine}, fine)


if __name__ == "__main__":
    main()
