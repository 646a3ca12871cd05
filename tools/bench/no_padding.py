#!/usr/bin/env python3
"""Time of a batch of mixed lengths (SST-2 dev) against a batch of equal lengths with the same number of tokens,
alternating in one run.

    python3 tools/bench/no_padding.py --model FOLDER [--sentences 128]

Passes when the mixed batch takes at most 1.1 times as long: medians over the rounds of each round's fastest step.
"""

import json
import os
import pathlib
import statistics

import measure


def sst2_lengths(args):
    """Tokens of the first sentences of SST-2's dev set, by the model's own tokenizer."""
    lines = (args.data / "sst2/dev.tsv").read_text(encoding="utf-8").split("\n")[1:]
    texts = [line.split("\t")[0].strip() for line in lines if line][: args.sentences]
    path = args.work / "no_padding_texts.txt"
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    output = measure.run([args.vkbert, "tokenize", "--model", args.model, "--input", path])[0]
    return [len(json.loads(line)["ids"]) for line in output.splitlines()]


def equal_lengths(lengths):
    """As many sequences and tokens, with lengths that differ by one at most."""
    shortest, longer = divmod(sum(lengths), len(lengths))
    return [shortest + (i < longer) for i in range(len(lengths))]


def main():
    options = measure.parser(__doc__)
    options.add_argument("--data", type=pathlib.Path, default=os.environ.get("VKBERT_TEST_DATA"),
                         help="test data (default: environment variable VKBERT_TEST_DATA)")
    options.add_argument("--model", required=True, help="the model to run and to tokenize with")
    options.add_argument("--sentences", type=int, default=128)
    options.add_argument("--rounds", type=int, default=5)
    args = options.parse_args()
    if args.data is None:
        options.error("no test data: give --data, or set VKBERT_TEST_DATA")
    args.data = pathlib.Path(args.data)
    mixed = sst2_lengths(args)

    def bench(name, lengths):
        path = args.work / f"no_padding_{name}.txt"
        path.write_text("".join(f"{n}\n" for n in lengths))
        command = [args.vkbert, "bench", "--model", args.model, "--lengths", path, "--precision", "fp32", "--repeat", 3,
                   "--device", args.device, "--json"]
        return lambda: json.loads(measure.run(command)[0])["fastest_step"]

    seconds = measure.alternate({"mixed": bench("mixed", mixed), "equal": bench("equal", equal_lengths(mixed))}, args.rounds)
    ratio = statistics.median(seconds["mixed"]) / statistics.median(seconds["equal"])
    measure.report("no padding", {
        "sequences": len(mixed), "tokens": sum(mixed), "lengths": f"{min(mixed)} to {max(mixed)}",
        "mixed seconds": measure.spread(seconds["mixed"]), "equal seconds": measure.spread(seconds["equal"]), "ratio": ratio,
        "padded to the longest it would be": max(mixed) * len(mixed) / sum(mixed)}, ratio <= 1.1)


if __name__ == "__main__":
    main()
