#!/usr/bin/env python3
"""`vkbert finetune` on the real data sets, start to end: what the best weights reach on the dev set.

    python tests/parity/real_results.py --model FOLDER_OF_ALL_MINILM_L6_V2 [--task mrpc]... [--torch too]

Passes when every score reaches the limit of its task. The weights begin with a classifier that transformers drew, so that
--torch (PyTorch with the same start, order of data and settings; dropout has other random numbers) can stand beside it.
"""

import json
import math
import pathlib
import shutil
import time

import torch
import transformers

import common
import curves

# The metric of each task, the score to reach, and the settings: those of the MiniLM paper's range, a higher rate where the
# output layer has much to learn.
TASKS = {
    "sst2": dict(metric="accuracy", limit=0.87, rate=8e-5, epochs=1, batch=16, length=64, examples=20000, dropout=0),
    "mrpc": dict(metric="f1", limit=0.85, rate=5e-5, epochs=3, batch=16, length=128),
    "stsb": dict(metric="spearman", limit=0.85, rate=1e-4, epochs=2, batch=16, length=128),
    "cola": dict(metric="matthews_correlation", limit=0.35, rate=1.5e-4, epochs=5, batch=32, length=64),
    "rte": dict(metric="accuracy", limit=146 / 277, rate=6e-5, epochs=2, batch=8, length=192, dropout=0),  # its majority class
    "ner": dict(metric="f1", limit=0.85, rate=1.5e-4, epochs=3, batch=32, length=128),
    "squad": dict(metric="f1", limit=0, rate=1e-4, epochs=1, batch=16, length=384, steps=90, every=45),
}
FILES = {"ner": ("conll2003/train.txt", "conll2003/valid.txt"),
         "squad": ("squad/train-subset-4330.json", "squad/dev-v1.1-finetune-eval.json")}
CLASSES = {"ner": "AutoModelForTokenClassification", "squad": "AutoModelForQuestionAnswering"}
LABELS = {"stsb": 1, "ner": 9}
WARMUP, SEED = 0.1, 1


def files(data, task):
    train, dev = FILES.get(task, (f"{task}/train.tsv", f"{task}/dev.tsv"))
    return data / train, data / dev


def start_folder(args, task):
    """The pre-trained model with a fresh output layer."""
    folder = args.work / f"real-start-{task}"
    torch.manual_seed(SEED)
    model_class = getattr(transformers, CLASSES.get(task, "AutoModelForSequenceClassification"))
    settings = {} if task == "squad" else dict(num_labels=LABELS.get(task, 2))
    model_class.from_pretrained(args.model, **settings).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(args.model).save_pretrained(folder)
    return folder


def training_file(args, task):
    """The training file; with a number of examples the first of them in a seeded order."""
    train, _ = files(args.data, task)
    count = TASKS[task].get("examples")
    if count is None:
        return train
    header, *lines = [line for line in train.read_text(encoding="utf-8").split("\n") if line]
    part = args.work / f"real-{task}-{count}.tsv"
    part.write_text("\n".join([header] + [lines[i] for i in curves.order(len(lines), SEED, 0)[:count]]) + "\n", encoding="utf-8")
    return part


def ours(args, task, start):
    """(scores of every evaluation, seconds, tokens per second) of `vkbert finetune`."""
    settings, output = TASKS[task], args.work / f"real-output-{task}"
    shutil.rmtree(output, ignore_errors=True)
    extra = ["--dropout", settings["dropout"]] if "dropout" in settings else []
    if "steps" in settings:
        extra += ["--max-steps", settings["steps"], "--eval-every", settings["every"]]
    _, seconds = common.vkbert(
        args, "finetune", "--model", start, "--task", task, "--train", training_file(args, task), "--eval",
        files(args.data, task)[1], "--output", output, "--epochs", settings["epochs"], "--batch-size", settings["batch"],
        "--max-length", settings["length"], "--learning-rate", settings["rate"], "--warmup", WARMUP, "--seed", SEED,
        "--report", args.work / f"real-{task}.html", *extra)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    rates = sorted(line["tokens_per_second"] for line in lines if line.get("tokens_per_second"))
    return [line["eval"][settings["metric"]] for line in lines if "eval" in line], seconds, rates[len(rates) // 2]


def rows(path, task):
    """[(text, pair or None, label)] of a GLUE file, as published."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8-sig").split("\n") if line]
    if task == "cola":
        return [(row[3], None, int(row[1])) for row in lines]
    if task == "sst2":
        return [(row[0], None, int(row[1])) for row in lines[1:]]
    if task == "mrpc":
        return [(row[3], row[4], int(row[0])) for row in lines[1:]]
    if task == "stsb":
        return [(row[7], row[8], float(row[9])) for row in lines[1:]]
    return [(row[1], row[2], ["entailment", "not_entailment"].index(row[3])) for row in lines[1:]]  # rte


def encoded(tokenizer, examples, indices, task):
    texts, pairs, labels = zip(*(examples[i] for i in indices))
    inputs = tokenizer(list(texts), None if pairs[0] is None else list(pairs), truncation="longest_first",
                       max_length=TASKS[task]["length"], padding=True, return_tensors="pt")
    return inputs, torch.tensor(labels)


def score(model, tokenizer, examples, task):
    """The task's metric by scikit-learn and SciPy."""
    import scipy.stats
    import sklearn.metrics
    model.eval()
    outputs = []
    with torch.no_grad():
        for first in range(0, len(examples), 64):
            inputs, _ = encoded(tokenizer, examples, range(first, min(first + 64, len(examples))), task)
            outputs.append(model(**inputs).logits)
    truth, logits = [label for _, _, label in examples], torch.cat(outputs)
    if task == "stsb":
        return float(scipy.stats.spearmanr(truth, logits[:, 0].numpy()).statistic)
    metric = {"f1": sklearn.metrics.f1_score, "matthews_correlation": sklearn.metrics.matthews_corrcoef,
              "accuracy": sklearn.metrics.accuracy_score}[TASKS[task]["metric"]]
    return float(metric(truth, logits.argmax(1).numpy()))


def reference(args, task, start):
    """Scores after every epoch of the same training in PyTorch, with dropout as the model's config has it."""
    settings = TASKS[task]
    tokenizer = transformers.AutoTokenizer.from_pretrained(start)
    dropout = settings.get("dropout")
    changed = {} if dropout is None else dict(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
                                              classifier_dropout=dropout)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(start, **changed)
    train, dev = rows(training_file(args, task), task), rows(files(args.data, task)[1], task)
    per_epoch = math.ceil(len(train) / settings["batch"])
    steps = per_epoch * settings["epochs"]
    optimizer, schedule = curves.optimizer_of(model, steps, settings["rate"])
    scores = []
    for epoch in range(settings["epochs"]):
        sequence = curves.order(len(train), SEED, epoch)
        model.train()
        for step in range(per_epoch):
            inputs, truth = encoded(tokenizer, train, sequence[step * settings["batch"]:(step + 1) * settings["batch"]], task)
            logits = model(**inputs).logits
            loss = torch.nn.functional.mse_loss(logits[:, 0], truth) if task == "stsb" else \
                torch.nn.functional.cross_entropy(logits, truth)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        scores.append(score(model, tokenizer, dev, task))
    return scores


def run(args, task):
    settings, start = TASKS[task], start_folder(args, task)
    if args.torch == "only":
        print(f"{task}: PyTorch: {settings['metric']} " + " ".join(f"{value:.4f}" for value in reference(args, task, start)))
        return True
    scores, seconds, rate = ours(args, task, start)
    figures = {settings["metric"]: round(max(scores), 4), "limit": round(settings["limit"], 4),
               "every evaluation": " ".join(f"{value:.4f}" for value in scores), "seconds": round(seconds),
               "tokens/s": round(rate)}
    if args.torch and task not in CLASSES:
        begin = time.monotonic()
        figures["PyTorch"] = " ".join(f"{value:.4f}" for value in reference(args, task, start))
        figures["PyTorch's seconds"] = round(time.monotonic() - begin)
    passed = all(a < b for a, b in zip(scores, scores[1:])) if task == "squad" else max(scores) > settings["limit"]
    text = ", ".join(f"{key} {value}" for key, value in figures.items())
    print(f"{task}: {'pass' if passed else 'FAIL'}: {text}", flush=True)
    return passed


def main():
    options = common.parser(__doc__)
    options.add_argument("--model", required=True, type=pathlib.Path)
    options.add_argument("--task", choices=TASKS, action="append", help="only this one; may be repeated")
    options.add_argument("--torch", choices=["too", "only"], help="train with PyTorch (not ner and squad)")
    args = common.parse(options)
    raise SystemExit(0 if all([run(args, task) for task in args.task or TASKS]) else 1)


if __name__ == "__main__":
    main()
