#!/usr/bin/env python3
"""The passes that memory bounds at BERT-base's sizes - AdamW, the gradient norm, LayerNorm and the embedding, forward and backward -
beside the fastest copy that vkbert knows on the device, as parts of its rate (`vkbert bench KERNEL`).

    tools/bench/bandwidth.py --vkbert-command tools/lab/vkbert_26

A process's rate is that of its fastest run, of the pass and of the copy, since on a busy machine memory is slower for seconds at a
time; of the processes it is the median, since in some a copy finds its pages so that it runs faster by a third, and in some a pass
does. In brackets: the least and the greatest of the processes. Passes when each part is at least 80%.
"""

import json
import statistics

import measure

KERNELS = ["adamw", "gradient-norm", "layernorm", "layernorm-backward", "embedding", "embedding-backward"]


def main():
    options = measure.parser(__doc__)
    options.add_argument("--rows", type=int, default=1024, help="tokens")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--repeat", type=int, default=40)
    options.add_argument("--limit", type=float, default=0.8)
    args = options.parse_args()

    def once(kernel):
        command = [*(args.vkbert_command or [args.vkbert]), "bench", "--device", args.device, kernel, "--shape", "base",
                   "--rows", args.rows, "--repeat", args.repeat, "--json"]
        variants = [json.loads(line) for line in measure.run(command)[0].splitlines()]
        return next(variant for variant in variants if variant["chosen"])

    results = measure.alternate({kernel: lambda kernel=kernel: once(kernel) for kernel in KERNELS}, args.rounds)
    copies = sorted(line["best_copy_bytes_per_second"] for lines in results.values() for line in lines)
    copy = statistics.median(copies)
    parts, figures = [], {"copy GB/s": f"{copy * 1e-9:.1f} [{copies[0] * 1e-9:.1f} .. {copies[-1] * 1e-9:.1f}]"}
    for kernel, lines in results.items():
        bytes_moved = lines[0]["gigabytes_per_second"] * lines[0]["milliseconds"] * 1e6
        times = sorted(line["best_milliseconds"] for line in lines)
        parts.append(bytes_moved / statistics.median(times) * 1e3 / copy)
        figures[kernel] = (f"{lines[0]['variant']} {statistics.median(times):.3f} ms [{times[0]:.3f} .. {times[-1]:.3f}], "
                           f"{parts[-1]:.0%}")
    measure.report("bandwidth", {**figures, "least": min(parts), "limit": args.limit}, min(parts) >= args.limit)


if __name__ == "__main__":
    main()
