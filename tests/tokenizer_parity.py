#!/usr/bin/env python3
"""Compares vkbert's tokenizer with Hugging Face's, text by text: ids and offsets, and for pairs, truncation, windows and
added tokens every other field too. Prints what was compared; exit status 1 if anything differs.

    python3 tests/tokenizer_parity.py --data DIR [--program build/release/bin/tokenizer_stream] [--quick]
        [--model FOLDER ...]         (needs: pip install tokenizers; transformers for --model)

DIR holds vocab/bert-base-{uncased,cased,chinese,multilingual-cased}-vocab.txt, texts (every .txt, .tsv, .json and .jsonl
file below it is read) and unicode/{UnicodeData.txt,blns.json}.
"""

import argparse
import itertools
import json
import pathlib
import random
import struct
import subprocess
import sys

import tokenizers

VOCABULARIES = {"uncased": [], "cased": ["cased"], "chinese": [], "multilingual-cased": ["cased"]}
BATCH = 50_000
MARKS = [chr(c) for c in range(0x300, 0x370)] + list("\u0f71\u0f72\u0f73\u302a\u302e\u302f\u1d165\u094d\u0e38\u0eb8\u3099")
MARKS += ["\U0001d165", "\U0001d16e", "\u1bab", "\u1a60", "\U00011133", "\U00016ff0", "\U0001da9b", "\u0f77"]
POOLS = [
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    " \t\n\r\u000b\u000c\u0085\u00a0\u1680\u2003\u2028\u202f\u3000\u0000\u0007\u00ad\u200b\u200d\ufeff\ufffd\ue000",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00a1\u00ab\u2014\u2026\u3001\u3002\uff01\u037e\u0387\u1fef",
    "".join(chr(c) for c in range(0xC0, 0x250)),
    "".join(chr(c) for c in itertools.chain(range(0x370, 0x530), range(0x1E00, 0x2000))),
    "".join(chr(c) for c in itertools.chain(range(0x590, 0x600), range(0x600, 0x700), range(0x900, 0xE80))),
    "".join(chr(c) for c in itertools.chain(range(0x4E00, 0x4F00), range(0x3041, 0x30FF), range(0xF900, 0xFA80))),
    "".join(chr(c) for c in itertools.chain(range(0xAC00, 0xAE00), range(0x1100, 0x1200))),
    "".join(chr(c) for c in itertools.chain(range(0x1F300, 0x1F650), range(0x1D100, 0x1D200), range(0x1D400, 0x1D500))),
    "".join(MARKS),
]
SNIPPETS = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "##", "[mask]", "[MASK", "I\u0307", "\u0130", "\u01c5", "ﬁ", "x" * 99,
            "y" * 100, "z" * 101, "\u00e9" * 101, "don't", "e\u0301", "\u212b", "\u1e9b\u0323", "\uac01", "\U0002f800"]


class Reference:
    """Hugging Face's tokenizer with the same options as tokenizer_stream takes."""

    def __init__(self, vocabulary, options):
        names = {"no-strip": False, "strip": True}
        strip = next((names[o] for o in options if o in names), None)
        self.tokenizer = tokenizers.BertWordPieceTokenizer(
            str(vocabulary), lowercase="cased" not in options, strip_accents=strip,
            handle_chinese_chars="no-chinese" not in options)._tokenizer
        self.special, self.windows, self.full = "no-special" not in options, "windows" in options, "full" in options
        values = dict(o.split("=", 1) for o in options if "=" in o and not o.startswith("added="))
        strategy = values.get("truncation", "longest_first")
        if "max" in values and strategy != "none":
            self.tokenizer.enable_truncation(int(values["max"]), stride=int(values.get("stride", 0)), strategy=strategy)
        for token in (o.split("=", 1)[1] for o in options if o.startswith("added=")):
            content, flags = token.rsplit(":", 1)
            added = tokenizers.AddedToken(content, single_word="w" in flags, lstrip="l" in flags, rstrip="r" in flags,
                                          normalized="n" in flags, special="s" in flags)
            self.tokenizer.add_special_tokens([added]) if "s" in flags else self.tokenizer.add_tokens([added])

    def line(self, e):
        fields = [e.ids, e.offsets]
        if self.full:
            fields += [e.type_ids, e.special_tokens_mask, e.word_ids, e.sequence_ids]
        return "".join(map(str, fields))

    def encode(self, texts):
        try:
            encodings = self.tokenizer.encode_batch(texts, add_special_tokens=self.special)
        except Exception:
            encodings = [self.encode_one(text) for text in texts]
        return ["error" if e is None else "\n".join(map(self.line, [e] + (e.overflowing if self.windows else [])))
                for e in encodings]

    def encode_one(self, text):
        try:
            return self.tokenizer.encode(*text, add_special_tokens=self.special)
        except Exception:
            return None


def record(text):
    first, second = text if isinstance(text, tuple) else (text, None)
    parts = [first.encode(), b"" if second is None else second.encode()]
    return struct.pack("<II", len(parts[0]), 0xFFFFFFFF if second is None else len(parts[1])) + b"".join(parts)


class Comparison:
    def __init__(self, program):
        self.program = program
        self.compared = self.differences = 0

    def run(self, what, source, options, texts, reference=None):
        reference = reference or Reference(source, options)
        differences = 0
        for start in range(0, len(texts), BATCH):
            batch = texts[start:start + BATCH]
            output = subprocess.run([self.program, source, *options], input=b"".join(map(record, batch)), check=True,
                                    stdout=subprocess.PIPE).stdout.decode()
            ours = output.split("\n\n")[:-1]
            assert len(ours) == len(batch), f"{len(ours)} answers to {len(batch)} texts"
            for text, mine, theirs in zip(batch, ours, reference.encode(batch)):
                if mine != theirs and not (theirs == "error" and mine.startswith("error")):
                    differences += 1
                    if differences <= 3:
                        print(f"DIFFERENT {what}: {text!r}\n  vkbert    {mine}\n  reference {theirs}")
        self.compared += len(texts)
        self.differences += differences
        print(f"{what}: {len(texts)} compared, {differences} differences", flush=True)


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(strings_of, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(strings_of, value))


def file_texts(data):
    """Every line, tab-separated field and JSON string of the data, each once."""
    texts = {}
    for path in sorted(data.rglob("*")):
        if path.suffix in (".txt", ".tsv", ".jsonl"):
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                texts[line] = None
                texts.update(dict.fromkeys(line.split("\t")))
        elif path.suffix == ".json":
            texts.update(dict.fromkeys(strings_of(json.loads(path.read_text(encoding="utf-8")))))
    return list(texts)


def code_points(data):
    rows = [line.split(";")[:2] for line in (data / "unicode/UnicodeData.txt").read_text().splitlines()]
    first = 0
    for number, name in rows:
        last = int(number, 16)
        if name.endswith("First>"):
            first = last
            continue
        for c in range(first if name.endswith("Last>") else last, last + 1):
            if not 0xD800 <= c < 0xE000:
                yield chr(c)


def random_texts(count, words, generator):
    texts = []
    for _ in range(count):
        parts = []
        favourites = generator.sample(POOLS, 3)
        for _ in range(generator.randint(1, 30)):
            kind = generator.random()
            if kind < 0.25:
                parts.append(generator.choice(words).removeprefix("##"))
            elif kind < 0.3:
                parts.append(generator.choice(SNIPPETS))
            elif kind < 0.4:
                parts.append(" ")
            elif kind < 0.45:
                c = generator.randrange(0x110000 - 0x800)
                parts.append(chr(c if c < 0xD800 else c + 0x800))
            elif kind < 0.55:
                parts.append("a" + "".join(generator.choices(MARKS, k=generator.randint(1, 4))))
            else:
                parts.append("".join(generator.choices(generator.choice(favourites), k=generator.randint(1, 8))))
        texts.append("".join(parts))
    return texts


def compare_vocabulary(comparison, name, path, options, texts, points, count):
    generator = random.Random(name)
    words = path.read_text(encoding="utf-8").split("\n")[:-1]
    randoms = random_texts(count, words, generator)
    comparison.run(f"{name}: texts of the data", path, options, texts)
    comparison.run(f"{name}: code points alone", path, options, points)
    comparison.run(f"{name}: code points between letters", path, options, [f"a{c}b" for c in points])
    comparison.run(f"{name}: random strings", path, options, randoms)
    few = randoms[:max(count // 20, 500)] + generator.sample(texts, min(len(texts), 2000))
    for extra in (["strip"], ["no-strip"], ["no-chinese"], ["no-special", "no-chinese", "no-strip"]):
        comparison.run(f"{name} {' '.join(extra)}", path, options + extra, few)
    pairs = list(zip(few, reversed(few)))
    comparison.run(f"{name}: pairs", path, options + ["full"], pairs)
    long_pairs = [(a, " ".join(generator.choices(few, k=6))) for a in few[:len(few) // 4]]
    for strategy, most, stride in itertools.product(("longest_first", "only_first", "only_second"), (3, 8, 24, 64), (0, 4, 16)):
        limits = [f"max={most}", f"stride={stride}", f"truncation={strategy}", "full"]
        if most - stride <= 8 and stride:  # the reference aborts where the stride does not fit
            continue
        if stride == 0:
            comparison.run(f"{name} {' '.join(limits)}: pairs", path, options + limits, long_pairs)
        if strategy == "only_second":
            answerable = [(" ".join(a.split()[:3])[:8], b) for a, b in long_pairs]
            if most - stride >= 40:
                comparison.run(f"{name} windows {' '.join(limits)}", path, options + limits + ["windows"], answerable)
        if strategy == "longest_first":
            comparison.run(f"{name} windows {' '.join(limits)}: single", path, options + limits + ["windows"], few)
    added = ["added=zeta:wn", "added=new york:n", "added=<x>:l", "added=<y>:r", "added=<z>:lrs", "added=Caf\u00e9:n",
             "added=ing:w", "added=\u4e2d:n", "added=##x:", "added=<zz>:s", "added= pad:"]
    inserted = ["".join(p + generator.choice(["zeta", "Zeta", "new york", "New  York", " <x>", "<y> \u3000", " <z> ", "CAFE", "caf\u00e9",
                                              "ing", "\u4e2d", "##x", "<zz>", "<zzz>", "<y> pad", ""])
                        for p in generator.sample(few, 3)) for _ in range(len(few))]
    comparison.run(f"{name}: added tokens", path, options + ["full"] + added, inserted)
    raw_only = [a for a in added if not a.endswith("n")]
    comparison.run(f"{name}: added tokens, none normalized", path, options + ["full"] + raw_only, inserted)


class ModelReference(Reference):
    def __init__(self, folder):
        import transformers
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)._tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.special, self.windows, self.full = True, False, True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--program", default="build/release/bin/tokenizer_stream")
    parser.add_argument("--model", action="append", default=[], help="a model folder to compare with AutoTokenizer")
    parser.add_argument("--quick", action="store_true", help="a sample: a minute instead of a quarter of an hour")
    arguments = parser.parse_args()
    comparison = Comparison(arguments.program)
    texts = file_texts(arguments.data)
    points = list(code_points(arguments.data))
    if arguments.quick:
        texts, points = random.Random(0).sample(texts, 20_000), points[::17]
    print(f"tokenizers {tokenizers.__version__}: {len(texts)} texts, {len(points)} code points")
    for folder in arguments.model:
        comparison.run(folder, folder, ["full"], texts[:20_000], ModelReference(folder))
    for name, options in VOCABULARIES.items():
        path = arguments.data / f"vocab/bert-base-{name}-vocab.txt"
        compare_vocabulary(comparison, name, path, options, texts, points, 2_000 if arguments.quick else 100_000)
    print(f"{comparison.compared} compared, {comparison.differences} differences")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
