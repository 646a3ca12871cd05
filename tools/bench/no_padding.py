#!/usr/bin/env python3
"""Batches of mixed lengths against one of equal lengths with as many tokens, and against the same batches padded, in turns.

    python3 tools/bench/no_padding.py [--model FOLDER | --shape base] [--mix sst2|log-normal|both] [--sequences 64]

Mixes: sst2, lengths of SST-2's dev set (sst2_dev_lengths.txt); log-normal, 8 to 512 tokens around 64 with a spread of 0.87.
Steps take turns within a process, a process a round. Passes when a mix reaches 95% of the equal lengths' rate of real tokens: medians
over the rounds of each round's fastest step. Of steps that follow each other the median of the ratio stands beside it; on a busy
machine that of equal lengths with themselves is 0.96 to 1.04 after twenty turns. What padding costs is measured beside it: sorted
into 8 batches each padded to its longest, in the same turns; and all padded to the longest, in a process of its own, of which a part
of at most 8,192 tokens is measured, since all its sequences are alike and devices bound what a batch may hold.
"""

import datetime
import math
import pathlib
import random
import statistics
import sys

import compare
import measure

LIMIT = 0.95
MOST_TOKENS = 8192  # of a padded batch
SHORTEST, MIDDLE, LONGEST, SPREAD, SORTED_BATCHES = 8, 64, 512, 0.87, 8


def log_normal_lengths(count, seed=1):
    """Evenly spread over the distribution, in random order."""
    normal = statistics.NormalDist(math.log(MIDDLE), SPREAD)
    lengths = [round(math.exp(normal.inv_cdf((i + 0.5) / count))) for i in range(count)]
    random.Random(seed).shuffle(lengths)
    return [min(LONGEST, max(SHORTEST, length)) for length in lengths]


def equal_lengths(lengths):
    """As many sequences and tokens, with lengths that differ by one at most."""
    shortest, longer = divmod(sum(lengths), len(lengths))
    return [shortest + (i < longer) for i in range(len(lengths))]


def padded(lengths, batches):
    """Each length as it is after sorting into so many batches and padding each of them."""
    ordered, size = sorted(lengths), math.ceil(len(lengths) / batches)
    return [max(ordered[i - i % size:i - i % size + size]) for i in range(len(ordered))]


def batchings(lengths):
    return {"equal": equal_lengths(lengths), "mixed": lengths,
            "sorted and padded": padded(lengths, min(SORTED_BATCHES, len(lengths))), "padded": padded(lengths, 1)}


def run_mix(args, name, lengths):
    """Every batching in turns: its padding share and rates of real tokens, and the rate relative to equal lengths."""
    model = ["--model", args.model] if args.model else ["--shape", args.shape]
    work = batchings(lengths)
    parts = math.ceil(sum(work["padded"]) / MOST_TOKENS)
    share = len(lengths) / math.ceil(len(lengths) / parts)  # of all that are padded to the longest to those measured
    work["padded"] = work["padded"][:math.ceil(len(lengths) / parts)]
    files = {}
    for label, of in work.items():
        files[label] = args.work / f"no_padding_{name}_{label.replace(' ', '_')}.txt"
        files[label].write_text("".join(f"{n}\n" for n in of))

    def bench(*labels):
        chosen = [option for label in labels for option in ("--lengths", files[label])]
        return zip(labels, measure.bench_lines(args, *model, *chosen, "--precision", args.precision, "--repeat", args.repeat)[0])

    steps, fastest, flops = {label: [] for label in work}, {label: [] for label in work}, {}
    for _ in measure.rounds_within(args.seconds / (2 if args.mix == "both" else 1), args.rounds):
        for label, line in (*bench("equal", "mixed", "sorted and padded"), *bench("padded")):
            times = share if label == "padded" else 1
            steps[label] += [seconds * times for seconds in line["steps"]]
            fastest[label].append(line["fastest_step"] * times)
            flops[label] = line["flops"] * times
    runs = {}
    for label, seconds in steps.items():
        in_turn = [equal / own for equal, own in zip(steps["equal"], seconds)]
        tokens = sum(work[label]) * (share if label == "padded" else 1)
        runs[label] = {"padding_share": 1 - sum(lengths) / tokens, "seconds": seconds, "flops": flops[label],
                       "tokens_per_second": sum(lengths) / statistics.median(fastest[label]),
                       "relative": statistics.median(fastest["equal"]) / statistics.median(fastest[label]),
                       "relative_in_turn_quartiles": statistics.quantiles(in_turn * 2 if len(in_turn) == 1 else in_turn, n=4),
                       "work": flops[label] / flops["equal"]}
    return {"sequences": len(lengths), "tokens": sum(lengths), "shortest": min(lengths), "longest": max(lengths), "runs": runs,
            "passed": runs["mixed"]["relative"] >= LIMIT}


def arguments():
    options = measure.parser(__doc__)
    options.set_defaults(work=measure.REPOSITORY / "build/bench")
    which = options.add_mutually_exclusive_group()
    which.add_argument("--model")
    which.add_argument("--shape", default="base")
    options.add_argument("--mix", choices=("sst2", "log-normal", "both"), default="both")
    options.add_argument("--precision", default="fp32")
    options.add_argument("--sequences", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--repeat", type=int, default=8, help="steps of each in a round")
    options.add_argument("--seconds", type=float, default=1e9, help="no further round that would end after this")
    options.add_argument("--date", default=datetime.date.today().isoformat())
    options.add_argument("--json", type=pathlib.Path, default=measure.REPOSITORY / "build/bench/padding.json")
    args = options.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def main():
    args = arguments()
    device = measure.selected_device(args)
    mixes = {"sst2": compare.real_lengths(args.sequences), "log-normal": log_normal_lengths(args.sequences)}
    results = {"measurement": "no padding", "date": args.date, "machine": measure.processor(), "device": device["name"],
               "driver": f"{device['driver']} {device['driver_info']}", "model": str(args.model or args.shape),
               "precision": args.precision, "limit": LIMIT, "mixes": {}}
    for name, lengths in mixes.items():
        if args.mix not in (name, "both"):
            continue
        results["mixes"][name] = mix = run_mix(args, name, lengths)
        measure.save(args.json, results)
        print(f"no padding, {name}: {'pass' if mix['passed'] else 'FAIL'}: {mix['sequences']} sequences of {mix['shortest']} to "
              f"{mix['longest']}, {mix['tokens']} tokens")
        for label, run in mix["runs"].items():
            first, middle, last = run["relative_in_turn_quartiles"]
            print(f"  {label}: {run['tokens_per_second']:.4g} real tokens/s, {run['relative']:.3f} of equal lengths, in turn {middle:.3f} "
                  f"[{first:.3f} .. {last:.3f}] (padding {run['padding_share']:.1%}, arithmetic x {run['work']:.3f}), "
                  f"seconds {measure.spread(run['seconds'])}", flush=True)
    sys.exit(0 if all(mix["passed"] for mix in results["mixes"].values()) else 1)


if __name__ == "__main__":
    main()
