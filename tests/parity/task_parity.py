#!/usr/bin/env python3
"""Examples of real data sets against transformers' tokenizers and the rules of its example scripts (run_glue.py, run_ner.py,
run_qa.py, run_swag.py), which are written anew here: ids, segments and labels of every example must be the same.

    python tests/parity/task_parity.py --model MINILM [--only ner ...]

Files are read here with nothing but Python. For NER, words are encoded one by one (is_split_into_words), as run_ner.py does.
"""

import json
import pathlib
import subprocess
import sys

import common

CASES = {  # name: (task, file, tokens)
    "sst2": ("sst2", "sst2/dev.tsv", 64), "mrpc": ("mrpc", "mrpc/dev.tsv", 40), "cola": ("cola", "cola/dev.tsv", 128),
    "stsb": ("stsb", "stsb/dev.tsv", 128), "qnli": ("qnli", "qnli/dev.tsv", 128), "rte": ("rte", "rte/dev.tsv", 64),
    "wnli": ("wnli", "wnli/dev.tsv", 128), "ner": ("ner", "conll2003/valid.txt", 64),
    "squad": ("squad", "squad/dev-v1.1-finetune-eval.json", 384), "squad_short": ("squad", "squad/dev-v1.1-finetune-eval.json", 320),
    "squad2": ("squad2", "squad/dev-v2.0-cs224n.json", 384), "swag": ("swag", "swag/swag_sample10.jsonl", 40),
}
ENTAILMENT = {"entailment": 0, "not_entailment": 1}


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8-sig").split("\n") if line]


def texts(task, path):
    """(text, pair, label) of each record."""
    lines = rows(path)
    if task == "cola":
        return [(line[3], None, int(line[1])) for line in lines]
    body = lines[1:]
    if task == "sst2":
        return [(line[0], None, int(line[1])) for line in body]
    if task == "mrpc":
        return [(line[3], line[4], int(line[0])) for line in body]
    if task == "stsb":
        return [(line[7], line[8], float(line[9])) for line in body]
    return [(line[1], line[2], ENTAILMENT[line[3]] if line[3] in ENTAILMENT else int(line[3])) for line in body]


def expected_texts(task, path, tokenizer, longest, _labels):
    for text, pair, label in texts(task, path):
        encoded = tokenizer(text, pair, truncation=True, max_length=longest)
        yield [encoded["input_ids"]], [encoded["token_type_ids"]], label


def expected_ner(_task, path, tokenizer, longest, labels):
    sentence = []
    for line in path.read_text(encoding="utf-8").split("\n") + [""]:
        if line.strip() and not line.startswith("-DOCSTART-"):
            sentence.append(line.split())
        elif sentence:
            encoded = tokenizer([word[0] for word in sentence], is_split_into_words=True, truncation=True, max_length=longest)
            words = encoded.word_ids()
            tags = [-100 if w is None or (i and words[i - 1] == w) else labels.index(sentence[w][-1])
                    for i, w in enumerate(words)]
            yield [encoded["input_ids"]], [encoded["token_type_ids"]], tags
            sentence = []


def span(encoded, window, answers):
    offsets, parts = encoded["offset_mapping"][window], encoded.sequence_ids(window)
    context = [t for t, part in enumerate(parts) if part == 1]
    if not answers:
        return [0, 0]
    begin = answers[0]["answer_start"]
    end = begin + len(answers[0]["text"])
    if offsets[context[0]][0] > begin or offsets[context[-1]][1] < end:
        return [0, 0]
    return [max(t for t in context if offsets[t][0] <= begin), min(t for t in context if offsets[t][1] >= end)]


def expected_squad(_task, path, tokenizer, longest, _labels):
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                encoded = tokenizer(qa["question"], paragraph["context"], truncation="only_second", max_length=longest,
                                    stride=128, return_overflowing_tokens=True, return_offsets_mapping=True)
                for window, ids in enumerate(encoded["input_ids"]):
                    yield [ids], [encoded["token_type_ids"][window]], span(encoded, window, qa["answers"])


def expected_swag(_task, path, tokenizer, longest, _labels):
    for line in path.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        choices = [tokenizer(item["sent1"], f"{item['sent2']} {item[f'ending{i}']}", truncation=True, max_length=longest)
                   for i in range(4)]
        yield [c["input_ids"] for c in choices], [c["token_type_ids"] for c in choices], item["label"]


def main():
    options = common.parser(__doc__)
    options.add_argument("--model", required=True, help="a model folder: its tokenizer is used")
    options.add_argument("--only", nargs="*", choices=CASES, help="only these")
    options.set_defaults(vkbert=str(common.REPOSITORY / "build/release/bin/task_examples"))
    args = common.parse(options)
    tokenizer = common.tokenizer_of(args.model)
    for name in args.only or CASES:
        task, file, longest = CASES[name]
        path = pathlib.Path(args.data) / file
        result = subprocess.run([args.vkbert, args.model, task, str(path), str(longest)], capture_output=True, text=True)
        if result.returncode:
            sys.exit(result.stderr)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        labels, ours = lines[0], lines[1:]
        expected = {"ner": expected_ner, "squad": expected_squad, "squad2": expected_squad, "swag": expected_swag}.get(
            task, expected_texts)(task, path, tokenizer, longest, labels)
        wrong, count, tokens = [], 0, 0
        for count, (ids, types, label) in enumerate(expected, 1):
            mine = ours[count - 1] if count <= len(ours) else None
            same = mine and mine["ids"] == ids and mine["types"] == types and (
                abs(mine["label"] - label) < 1e-6 if task == "stsb" else mine["label"] == label)
            tokens += sum(map(len, ids))
            if not same:
                wrong.append(count)
        common.verdict(name, dict(examples=count, tokens=tokens, different=len(wrong), first=wrong[:3]),
                       not wrong and count == len(ours))


if __name__ == "__main__":
    main()
