#!/usr/bin/env python3
"""`vkbert finetune` killed with SIGKILL at random moments and resumed, against a run that nobody interrupted.

    python tests/parity/resume.py [--kills 20]

A tiny random BERT, small batches, an evaluation and a checkpoint every few steps, so that kills fall into steps, evaluations
and checkpoints. Passes when weights, optimizer state and metrics at the end are bit-identical, and the output folder had a whole
checkpoint at every kill after the first was written.
"""

import json
import random
import shutil
import signal
import subprocess
import time

import transformers

import common


def command(args, model, output, resume):
    return [args.vkbert, "finetune", "--model", str(model), "--task", "sst2", "--train", str(args.data / "sst2/dev.tsv"),
            "--eval", str(args.data / "sst2/dev.tsv"), "--output", str(output), "--epochs", "3", "--batch-size", "16",
            "--max-length", "32", "--save-every", "7", "--eval-every", "10", "--seed", "5", "--quiet",
            "--device", args.device] + (["--resume"] if resume else [])


def metrics(output):
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("tokens_per_second", None)  # a measurement, not a result
    return lines


def whole_checkpoints(output):
    """Checkpoint folders by step, each checked to be whole."""
    steps = []
    for folder in output.glob("checkpoint-*"):
        if folder.suffix == ".part":
            continue
        json.loads((folder / "progress.json").read_text())
        assert (folder / "model.safetensors").stat().st_size and (folder / "optimizer.safetensors").stat().st_size, folder
        steps.append(int(folder.name.split("-")[1]))
    return steps


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    args = common.parse(parser)
    model = args.work / "resume-model"
    settings = transformers.BertConfig(num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=512)
    transformers.BertModel(settings).save_pretrained(model)
    shutil.copy(args.data / "vocab/bert-base-uncased-vocab.txt", model / "vocab.txt")

    straight, killed = args.work / "resume-straight", args.work / "resume-killed"
    for folder in (straight, killed):
        shutil.rmtree(folder, ignore_errors=True)
    begin = time.monotonic()
    subprocess.run(command(args, model, straight, False), check=True)
    duration = time.monotonic() - begin

    moments, kills, had_one = random.Random(1), 0, False
    while True:
        process = subprocess.Popen(command(args, model, killed, killed.exists()))
        try:  # long enough on average that every second run leaves a checkpoint behind
            limit = moments.uniform(0.02, 0.25) * duration if kills < args.kills else None
            code = process.wait(timeout=limit)
            assert code == 0, f"exit code {code}"
            if kills >= args.kills:
                break
            shutil.rmtree(killed)  # done before all kills were made: once more from the start
            had_one = False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            steps = whole_checkpoints(killed) if killed.exists() else []
            assert steps or not had_one, "no whole checkpoint after a kill"
            had_one = bool(steps)
    last = max(whole_checkpoints(straight))
    same = all((straight / name).read_bytes() == (killed / name).read_bytes()
               for name in ("model.safetensors", f"checkpoint-{last}/model.safetensors", f"checkpoint-{last}/optimizer.safetensors"))
    equal = metrics(straight) == metrics(killed)
    common.verdict("resume", {"kills": kills, "steps": last, "seconds of a whole run": duration, "weights the same bits": same,
                              "metrics the same": equal}, same and equal)


if __name__ == "__main__":
    main()
