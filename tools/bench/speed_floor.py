#!/usr/bin/env python3
"""BERT-base shape, fp32, 8 x 128 tokens: vkbert against llama.cpp's Vulkan backend on one driver, alternating in one run.

    tools/bench/peers_setup && tools/bench/beside_peers python3 tools/bench/speed_floor.py

Passes when vkbert's median tokens/s are at least llama.cpp's (at llama.cpp's best settings on CPU drivers).
"""

import json
import statistics

import measure


def main():
    options = measure.parser(__doc__)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--length", type=int, default=128)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--repeat", type=int, default=2, help="timed steps a round, after each program's warm-ups")
    args = options.parse_args()

    def ours():
        command = [args.vkbert, "bench", "--shape", "base", "--batch", args.batch, "--length", args.length, "--precision",
                   "fp32", "--repeat", args.repeat, "--device", args.device, "--json"]
        return json.loads(measure.run(command)[0])

    def llama():
        command = [measure.PEERS / "llama_bench", measure.PEERS / "base-f32.gguf", "vk", args.batch, args.length,
                   args.repeat, 2]
        return json.loads(measure.run(command, measure.LLAMA_SETTINGS)[0])

    results = measure.alternate({"vkbert": ours, "llama.cpp": llama}, args.rounds)
    rates = {name: [line["tokens_per_second"] for line in lines] for name, lines in results.items()}
    ratio = statistics.median(rates["vkbert"]) / statistics.median(rates["llama.cpp"])
    first = results["vkbert"][0]
    measure.report("speed floor", {
        "batch": f"{args.batch} x {args.length}", "vkbert tokens/s": measure.spread(rates["vkbert"]),
        "llama.cpp tokens/s": measure.spread(rates["llama.cpp"]), "ratio": ratio, "device": first["device"],
        "driver": first["driver"]}, ratio >= 1)


if __name__ == "__main__":
    main()
