#!/usr/bin/env python3
"""One sentence through `vkbert embed`, whole process: with empty caches, vkbert's and the driver's, against warm ones, in turns.

    python3 tools/bench/cold_start.py --model $(tools/fetch_minilm)
    VKBERT_LAB=~/.cache/vkbert/lab VKBERT_26_SHOW=MODEL python3 tools/bench/cold_start.py --vkbert-command tools/lab/vkbert_26 \
      --work build/parity --model MODEL

Passes when the median cold start takes less than three times the median warm start, which is the third: Mesa may store a shader
only in the second. Both caches lie under XDG_CACHE_HOME, which is a folder of this run in --work: a wrapper must let vkbert write
there.
"""

import json
import os
import shutil
import tempfile
import statistics

import measure

LIMIT = 3.0


def main():
    options = measure.parser(__doc__)
    options.add_argument("--model", required=True, help="a folder that `vkbert embed` takes")
    options.add_argument("--text", default="A man is playing guitar on the street.")
    options.add_argument("--rounds", type=int, default=7)
    args = options.parse_args()
    folder = tempfile.mkdtemp(prefix="cold_start_", dir=args.work.resolve())

    def embed():
        command = [*(args.vkbert_command or [args.vkbert]), "embed", "--model", args.model, "--device", args.device, args.text]
        output, _, seconds = measure.run(command, {"XDG_CACHE_HOME": folder})
        return json.loads(output)["embedding"], seconds

    def cold():
        shutil.rmtree(folder)
        os.mkdir(folder)
        return embed()

    try:
        results = measure.alternate({"cold": cold, "second": embed, "warm": embed}, args.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = {name: [line[1] for line in lines] for name, lines in results.items()}
    ratio = statistics.median(seconds["cold"]) / statistics.median(seconds["warm"])
    same = all(line[0] == results["cold"][0][0] for lines in results.values() for line in lines)
    measure.report("cold start", {"cold seconds": measure.spread(seconds["cold"]), "warm seconds":
                                  measure.spread(seconds["warm"]), "ratio": ratio, "limit": LIMIT, "same result": same},
                   ratio < LIMIT and same)


if __name__ == "__main__":
    main()
