#!/usr/bin/env python3
"""The passes that memory bounds at BERT-base's sizes - AdamW, the gradient norm, LayerNorm and the embedding, forward and backward -
beside the fastest copy that vkbert knows on the device, as parts of its rate (`vkbert bench KERNEL`).

    tools/bench/bandwidth.py --vkbert-command tools/lab/vkbert_26

Rates are of the best time and the best copy of all rounds, since on a busy machine memory is slower for seconds at a time; the
parts by the medians of each round stand beside them. Passes when each is at least 80%. The fastest copy of all processes may find its
pages by chance so that it runs a third faster than most; hence "of medians": the medians over processes of each one's fastest run.
"""

import json
import statistics

import measure

KERNELS = ["adamw", "gradient-norm", "layernorm", "layernorm-backward", "embedding", "embedding-backward"]


def main():
    options = measure.parser(__doc__)
    options.add_argument("--rows", type=int, default=1024, help="tokens")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--repeat", type=int, default=40)
    options.add_argument("--limit", type=float, default=0.8)
    args = options.parse_args()

    def once(kernel):
        command = [*(args.vkbert_command or [args.vkbert]), "bench", "--device", args.device, kernel, "--shape", "base",
                   "--rows", args.rows, "--repeat", args.repeat, "--json"]
        variants = [json.loads(line) for line in measure.run(command)[0].splitlines()]
        return next(variant for variant in variants if variant["chosen"])

    results = measure.alternate({kernel: lambda kernel=kernel: once(kernel) for kernel in KERNELS}, args.rounds)
    # One copy for all: each process measures its own, some of them in a slow moment.
    copy = max(line["copy_bytes_per_second"] for lines in results.values() for line in lines)
    typical_copy = statistics.median(line["best_copy_bytes_per_second"] for lines in results.values() for line in lines)
    parts, figures = [], {"copy GB/s": copy * 1e-9, "median copy GB/s": typical_copy * 1e-9}
    for kernel, lines in results.items():
        bytes_moved = lines[0]["gigabytes_per_second"] * lines[0]["milliseconds"] * 1e6
        best = min(line["best_milliseconds"] for line in lines)
        of_rounds = sorted(line["gigabytes_per_second"] * 1e9 / line["copy_bytes_per_second"] for line in lines)
        typical = bytes_moved / statistics.median(line["best_milliseconds"] for line in lines) * 1e3 / typical_copy
        parts.append(bytes_moved / best * 1e3 / copy)
        figures[kernel] = (f"{lines[0]['variant']} {best:.3f} ms, {parts[-1]:.0%} "
                           f"[{of_rounds[0]:.0%} .. {of_rounds[-1]:.0%}], of medians {typical:.0%}")
    measure.report("bandwidth", {**figures, "least": min(parts), "limit": args.limit}, min(parts) >= args.limit)


if __name__ == "__main__":
    main()
