#!/usr/bin/env python3
"""What a training step costs beside the forward pass of the same batch, and what of it the host takes.

    python3 tools/bench/training_cost.py [--model FOLDER | --shape base] [--batch 8] [--length 128] [--rounds 2]

Steps and passes take turns. Passes when a step (forward, backward, optimizer) takes at most 3.3 times the forward pass, and
the host, while the device waits for it, at most 1% of the step.
"""

import json
import statistics

import measure

RATIO_LIMIT, HOST_LIMIT = 3.3, 0.01


def main():
    options = measure.parser(__doc__)
    which = options.add_mutually_exclusive_group()
    which.add_argument("--model")
    which.add_argument("--shape", default="base")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--length", type=int, default=128)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--repeat", type=int, default=1, help="timed steps of a round")
    args = options.parse_args()
    command = [args.vkbert, "bench", "--device", args.device, "--batch", args.batch, "--length", args.length, "--repeat",
               args.repeat, "--json", *(["--model", args.model] if args.model else ["--shape", args.shape])]

    def bench(*more):
        return json.loads(measure.run([*command, *more])[0])

    results = measure.alternate({"forward": bench, "step": lambda: bench("--train")}, args.rounds)
    forward, step = ([one["seconds_per_step"] for one in results[name]] for name in ("forward", "step"))
    ratio = statistics.median(step) / statistics.median(forward)
    host = statistics.median([one["host_seconds"] / one["seconds_per_step"] for one in results["step"]])
    measure.report("training cost", {
        "model": args.model or args.shape, "batch": f"{args.batch} x {args.length}", "driver": results["step"][0]["driver"],
        "forward seconds": measure.spread(forward), "step seconds": measure.spread(step), "ratio": ratio,
        "(limit 3.3) host's share": host, "(limit 0.01) step tokens/s": args.batch * args.length / statistics.median(step)},
        ratio <= RATIO_LIMIT and host <= HOST_LIMIT)


if __name__ == "__main__":
    main()
