#!/usr/bin/env python3
"""Speed of vkbert's tokenizer beside Hugging Face's, one thread each, alternating in one run.

    python3 tools/bench/tokenizer_compare.py --data DIR [--program build/release/bin/tokenizer_benchmark] [--repeat 7]

Each side encodes the same texts with ids and offsets; the least processor time of the repetitions counts. Hugging Face is timed around
encode_batch without the conversion to Python lists (`encode_batch_fast`, which makes no offsets, is given too).
"""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402

SETS = [
    ("uncased", "sst2/train.tsv", []), ("uncased", "squad/train-subset-4330.json", []),
    ("uncased", "wikitext2/valid.txt", []), ("cased", "wikitext2/valid.txt", ["cased"]),
    ("chinese", "unicode/NormalizationTest.txt", []), ("multilingual-cased", "squad/train-subset-4330.json", ["cased"]),
    ("multilingual-cased", "unicode/NormalizationTest.txt", ["cased"]),
]


def timed(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(arguments, name, path, options):
    vocabulary = arguments.data / f"vocab/bert-base-{name}-vocab.txt"
    lines = (arguments.data / path).read_text(encoding="utf-8").split("\n")
    if path.endswith(".json"):  # long lines: the paragraphs
        lines = [part for line in lines for part in line.split('"') if len(part) > 200]
    lines = [line.replace("\r", " ") for line in lines][:20000]
    size = sum(len(line.encode()) for line in lines)
    load = timed(lambda: tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase="cased" not in options))
    reference = tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase="cased" not in options)._tokenizer
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as texts:
        texts.write("".join(line + "\n" for line in lines))
        texts.flush()
        with subprocess.Popen([arguments.program, vocabulary, texts.name, *options], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as ours:
            our_load = float(ours.stdout.readline())
            best = [1e9, 1e9, 1e9]
            for _ in range(arguments.repeat):
                ours.stdin.write("go\n")
                ours.stdin.flush()
                seconds, tokens = ours.stdout.readline().split()
                theirs = timed(lambda: reference.encode_batch(lines))
                fast = timed(lambda: reference.encode_batch_fast(lines))
                best = [min(pair) for pair in zip(best, (float(seconds), theirs, fast))]
            ours.stdin.close()
    print(f"{name:20} {path:32} {size / 1e6:5.1f} MB {int(tokens):8} tokens | vkbert {size / best[0] / 1e6:6.1f} MB/s "
          f"{int(tokens) / best[0] / 1e6:6.2f} Mtok/s | HF {size / best[1] / 1e6:5.2f} MB/s, fast {size / best[2] / 1e6:5.2f} "
          f"| {best[1] / best[0]:5.1f} x, {best[2] / best[0]:5.1f} x | load {our_load * 1e3:.1f} ms, HF {load * 1e3:.1f} ms",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--program", default="build/release/bin/tokenizer_benchmark")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    for entry in SETS:
        compare(arguments, *entry)


if __name__ == "__main__":
    main()
