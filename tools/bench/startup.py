#!/usr/bin/env python3
"""One sentence through all-MiniLM-L6-v2, whole process: `vkbert embed` with a warm pipeline cache against llama.cpp's Vulkan
backend loading the same checkpoint (as GGUF) and encoding the sentence once, on one driver, alternating in one run.

    tools/bench/peers_setup && tools/bench/beside_peers --show MINILM python3 tools/bench/startup.py --model MINILM

Passes when vkbert's median time is below llama.cpp's, and both computed the same first value to 1e-3.
"""

import json
import statistics

import measure


def main():
    options = measure.parser(__doc__)
    options.add_argument("--model", required=True, help="folder of all-MiniLM-L6-v2")
    options.add_argument("--text", default="A man is playing guitar on the street.")
    options.add_argument("--rounds", type=int, default=7)
    args = options.parse_args()

    def ours():
        output, _, seconds = measure.run([args.vkbert, "embed", "--model", args.model, "--device", args.device,
                                          "--precision", "fp32", args.text])
        return json.loads(output)["embedding"][0], seconds

    def llama():
        output, _, seconds = measure.run([measure.PEERS / "llama_bench", measure.PEERS / "minilm-f32.gguf", "vk", args.text],
                                         measure.LLAMA_SETTINGS)
        return json.loads(output)["first"], seconds

    cold = ours()[1]  # fills the pipeline cache, ours and the driver's
    llama()
    results = measure.alternate({"vkbert": ours, "llama.cpp": llama}, args.rounds)
    seconds = {name: [line[1] for line in lines] for name, lines in results.items()}
    difference = abs(results["vkbert"][0][0] - results["llama.cpp"][0][0])
    ratio = statistics.median(seconds["vkbert"]) / statistics.median(seconds["llama.cpp"])
    measure.report("start-up", {
        "vkbert seconds": measure.spread(seconds["vkbert"]), "llama.cpp seconds": measure.spread(seconds["llama.cpp"]),
        "ratio": ratio, "vkbert's first run": cold, "difference of results": difference},
        ratio < 1 and difference < 1e-3)


if __name__ == "__main__":
    main()
