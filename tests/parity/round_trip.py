#!/usr/bin/env python3
"""Model folders as fine-tuning writes them, opened in transformers by the matching AutoModelFor... class: no tensor missing,
none left over, labels and problem type as they should be, weights of the encoder those of the pre-trained model, and the same
scores from `vkbert classify` and `vkbert choose` within 1e-4.

    python tests/parity/round_trip.py --model MINILM

With --folder DIR --task TASK a folder that `vkbert finetune` has written is opened instead.
"""

import pathlib
import subprocess

import safetensors.torch
import torch
import transformers

import common
import heads_parity

CLASSES = {**dict.fromkeys(["sst2", "cola", "mrpc", "rte", "stsb", "mnli"], "AutoModelForSequenceClassification"), "ner": "AutoModelForTokenClassification",
           "squad": "AutoModelForQuestionAnswering", "swag": "AutoModelForMultipleChoice"}
LABELS = {"sst2": ["negative", "positive"], "mrpc": ["not_equivalent", "equivalent"], "stsb": ["LABEL_0"], "mnli": ["entailment", "neutral", "contradiction"],
          "ner": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]}
WRITTEN = ["sst2", "stsb", "mnli", "ner", "squad", "swag"]  # what the writer makes
PROBLEMS = {**dict.fromkeys(["sst2", "cola", "mrpc", "rte", "mnli"], "single_label_classification"), "stsb": "regression"}
SCORE_LIMIT = 1e-4


def open_folder(folder, task):
    """The model, after checking that transformers took every tensor and made up none."""
    model, info = getattr(transformers, CLASSES[task]).from_pretrained(folder, output_loading_info=True)
    problems = {key: sorted(value) for key, value in info.items() if value}
    common.verdict(f"{task}: opens", dict(class_name=type(model).__name__, problems=str(problems)), not problems)
    return model.eval()


def check_config(model, task, written):
    config = model.config
    labels = [config.id2label[i] for i in range(config.num_labels)]
    expected = LABELS.get(task, labels) if written or task != "ner" else labels  # which come from the data
    right = (labels == expected and config.label2id == {label: i for i, label in enumerate(labels)}
             and config.problem_type == PROBLEMS.get(task) and config.architectures == [type(model).__name__])
    common.verdict(f"{task}: config", dict(labels=",".join(labels), problem_type=str(config.problem_type)), right)


def check_encoder(model, task, pretrained):
    ours = model.state_dict()
    stored = safetensors.torch.load_file(pathlib.Path(pretrained) / "model.safetensors")
    wanted = {name: tensor for name, tensor in stored.items()
              if "position_ids" not in name and ("pooler" not in name or "bert." + name in ours)}
    wrong = [name for name, tensor in wanted.items() if not torch.equal(ours["bert." + name.removeprefix("bert.")], tensor)]
    common.verdict(f"{task}: encoder", dict(tensors=len(wanted), different=len(wrong)), bool(wanted) and not wrong)


def check_scores(args, folder, model, task):
    if task in ("ner", "squad"):
        comparison = heads_parity.Comparison()
        compare = heads_parity.compare_tags if task == "ner" else heads_parity.compare_spans
        compare(args, comparison, folder, model, common.tokenizer_of(folder))
        return comparison.verdict(f"{task}: scores")
    tokenizer, sentences = common.tokenizer_of(folder), common.sst2(args.data)[:40]
    if task == "swag":
        rows = [dict(text=sentences[i], choices=sentences[i + 1:i + 4]) for i in range(0, 40, 4)]
        command = "choose"
    else:
        rows = [dict(text=a, pair=b) for a, b in zip(sentences[::2], sentences[1::2])]
        command = "classify"
    path = common.write_jsonl(args.work / f"round_trip_{task}.jsonl", rows)
    lines = common.vkbert_lines(args, command, "--model", folder, "--precision", "fp32", "--input", path, "--input-format",
                                "jsonl")
    worst = 0.0
    for row, line in zip(rows, lines, strict=True):
        with torch.no_grad():
            if task == "swag":
                inputs = [common.encode(tokenizer, row["text"], choice) for choice in row["choices"]]
                logits = torch.cat([model(**{k: v[None] for k, v in one.items()}).logits[0] for one in inputs])
                expected, ours = logits.double().softmax(0), line["scores"]
            else:
                logits = model(**common.encode(tokenizer, row["text"], row["pair"])).logits[0].double()
                regression = task == "stsb"
                expected = logits if regression else logits.softmax(0)
                ours = [line["value"]] if regression else [line["scores"][label] for label in model.config.label2id]
        worst = max(worst, common.max_difference(ours, expected))
    common.verdict(f"{task}: scores", dict(texts=len(rows), largest_difference=worst), worst <= SCORE_LIMIT)


def main():
    options = common.parser(__doc__)
    options.add_argument("--model", help="the pre-trained model's folder")
    options.add_argument("--folder", help="a folder written by vkbert finetune")
    options.add_argument("--task", choices=CLASSES, help="its task")
    options.add_argument("--writer", default=str(common.REPOSITORY / "build/release/bin/model_folder_writer"))
    args = common.parse(options)
    if bool(args.folder) == bool(args.model) or bool(args.folder) != bool(args.task):
        options.error("give --model, or --folder and --task")
    for task in [args.task] if args.folder else WRITTEN:
        folder = args.folder or args.work / f"round_trip_{task}"
        if args.model:
            subprocess.run([args.writer, args.model, task, folder], check=True)
        model = open_folder(folder, task)
        check_config(model, task, args.folder is None)
        if args.model:
            check_encoder(model, task, args.model)
        check_scores(args, folder, model, task)


if __name__ == "__main__":
    main()
