#!/usr/bin/env python3
"""vkbert and its peers on the same work, taking turns (A B C A B C ...) in one run.

    python3 tools/bench/compare.py --suite cpu|gpu|quick [--torch-python PYTHON] [--vkbert-command COMMAND] [--seconds 300]

Peers: llama.cpp (Vulkan and CPU), PyTorch (CPU, or CUDA with fp16 and automatic mixed precision), ONNX Runtime. One that is
not there is reported as absent. Work: equal lengths, one short text, the real lengths of SST-2's dev set (vkbert without
padding, the others in sorted padded batches; only real tokens count), a training step. vkbert trains with its model's dropout
of 0.1, the others with none. Writes JSON with every sample, prints a table, and ends with 1 when a limit of the driver at hand
is missed.
"""

import dataclasses
import datetime
import os
import pathlib
import re
import shlex
import statistics
import sys
import time

import measure
import peers

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Suite:
    """Shape as layers, hidden size, heads and intermediate size; models: llama.cpp's of that shape, {} being f32 or f16."""

    shape: list
    models: str
    precision: str
    batch: int
    length: int
    training: int
    sentences: int
    rounds: int
    repeat: int
    heavy_repeat: int  # of whatever takes seconds a step on CPU drivers


BASE = [12, 768, 12, 3072]
SUITES = {
    "quick": Suite([6, 384, 12, 1536], "minilm-{}.gguf", "fp32", 4, 16, 4, 12, rounds=2, repeat=1, heavy_repeat=1),
    "cpu": Suite(BASE, "base-{}.gguf", "fp32", 8, 128, 8, 40, rounds=3, repeat=3, heavy_repeat=1),
    "gpu": Suite(BASE, "base-{}.gguf", "fp16", 128, 128, 64, 872, rounds=7, repeat=20, heavy_repeat=20),
}

# What vkbert must reach of a peer's speed on BASE: (driver, kind of work, peer): ratio. GPUs have no limit here.
LIMITS = {
    ("lavapipe, 512 bits", "forward", "llama.cpp Vulkan"): 5.0,
    ("lavapipe, 512 bits", "forward", "PyTorch"): 0.40,
    ("lavapipe, 512 bits", "training", "PyTorch"): 0.35,
    ("lavapipe, 256 bits", "forward", "llama.cpp Vulkan"): 3.5,
    ("lavapipe, 256 bits", "forward", "PyTorch"): 0.30,
    ("lavapipe, 256 bits", "training", "PyTorch"): 0.25,
    ("lavapipe of Mesa 22", "forward", "PyTorch"): 0.18,
}


def driver_kind(device):
    """The name that LIMITS knows it by."""
    if device["driver"] != "llvmpipe":
        return device["driver"]
    version = re.search(r"Mesa (\d+)", device["driver_info"])
    if version and int(version[1]) < 26:
        return f"lavapipe of Mesa {version[1]}"
    bits = re.search(r"(\d+) bits", device["name"])
    return f"lavapipe, {bits[1] if bits else '?'} bits"


def real_lengths(count):
    """Evenly spread over SST-2's dev set (sst2_dev_lengths.txt: tokens of each sentence, uncased English words)."""
    lengths = [int(line) for line in (HERE / "sst2_dev_lengths.txt").read_text().split()]
    return [lengths[i * len(lengths) // count] for i in range(count)]


def cases_of(suite):
    return {
        "forward": peers.Case("forward", suite.precision, [suite.length] * suite.batch),
        "one text": peers.Case("one text", suite.precision, [32], times=10),
        "real lengths": peers.Case("real lengths", suite.precision, real_lengths(suite.sentences), batch_size=32),
        "training": peers.Case("training", suite.precision, [suite.length] * suite.training, train=True),
    }


def contenders(args, suite, device):
    """Us first. Peers that cannot run stay in the list, with the reason in `absent`."""
    kind = {"fp32": "f32", "fp16": "f16"}[suite.precision]
    models, cpu = f"{args.llama_models}/{suite.models}", device["class"] == "cpu"
    shape = ",".join(map(str, suite.shape))
    beside_cpu = [peers.Llama(args, "cpu", models, kind, suite.repeat, cpu)] if cpu else []
    return [
        peers.Vkbert(args, shape, suite.heavy_repeat if cpu else suite.repeat),
        peers.Llama(args, "vk", models, kind, suite.heavy_repeat, cpu), *beside_cpu,
        peers.LinePeer("PyTorch", [*args.torch_python, HERE / "torch_peer.py"], suite.shape, suite.precision, suite.repeat, True),
        peers.LinePeer("ONNX Runtime", [*args.torch_python, HERE / "onnx_peer.py"], suite.shape, suite.precision, suite.repeat,
                       False),
    ]


def take_turns(case, systems, samples):
    for system in systems:
        if system.absent or not system.runs(case):
            continue
        try:
            samples.setdefault(system.name, []).append(system.measure(case))
        except (OSError, RuntimeError, ValueError) as error:
            system.absent = f"failed: {error}"[:300]


def summary(kind, case, samples, limits):
    """Medians, and vkbert's rate over each peer's: of the medians, with the extremes of the rounds."""
    rates = {name: [peers.rate(sample) for sample in of] for name, of in samples.items()}
    result = {"kind": kind, "title": case.title(), "precision": case.precision, "sequences": len(case.lengths),
              "tokens": case.tokens, "train": case.train, "samples": samples, "tokens_per_second": {}, "ratios": {}}
    for name, values in rates.items():
        result["tokens_per_second"][name] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
        if name == "vkbert":
            continue
        pairs = [ours / theirs for ours, theirs in zip(rates["vkbert"], values)]
        ratio, limit = statistics.median(rates["vkbert"]) / statistics.median(values), limits.get((kind, name))
        result["ratios"][name] = {"ratio": ratio, "least": min(pairs), "most": max(pairs), "limit": limit,
                                  "passed": None if limit is None else ratio >= limit}
    return result


def table(results):
    rows = [("work", "system", "tokens/s", "least .. most", "vkbert is", "limit", "")]
    for case in results["cases"]:
        for name, speed in case["tokens_per_second"].items():
            ratio = case["ratios"].get(name)
            limit = ratio and ratio["limit"]
            rows.append((case["title"], name, f"{speed['median']:.4g}", f"{speed['least']:.4g} .. {speed['most']:.4g}",
                         f"{ratio['ratio']:.3g} x" if ratio else "", f"{limit:g} x" if limit else "",
                         ("pass" if ratio["passed"] else "FAIL") if limit else ""))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows)


def arguments():
    options = measure.parser(__doc__)
    options.set_defaults(work=measure.REPOSITORY / "build/bench")
    options.add_argument("--suite", choices=SUITES, default="quick")
    options.add_argument("--rounds", type=int, help="at most so many (default: the suite's)")
    options.add_argument("--seconds", type=float, default=1e9, help="no further round that would end after this")
    options.add_argument("--torch-python", type=shlex.split, default=["python3"], metavar="COMMAND",
                         help="the interpreter that has PyTorch and ONNX Runtime")
    options.add_argument("--llama-command", type=shlex.split, metavar="COMMAND",
                         help="how to start llama_bench (default: tools/bench/peers_run, or llama_bench itself)")
    options.add_argument("--llama-models", default=str(measure.PEERS), metavar="FOLDER", help="where it finds its models")
    options.add_argument("--no-profile", action="store_true", help="leave out the times of every dispatch")
    options.add_argument("--date", default=datetime.date.today().isoformat())
    options.add_argument("--json", type=pathlib.Path, default=measure.REPOSITORY / "build/bench/compare.json")
    args = options.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def main():
    args, begin = arguments(), time.monotonic()
    suite, device = SUITES[args.suite], measure.selected_device(args)
    cases, driver = cases_of(suite), driver_kind(device)
    limits = {key[1:]: limit for key, limit in LIMITS.items() if key[0] == driver and suite.shape == BASE}
    systems = contenders(args, suite, device)
    samples = {kind: {} for kind in cases}
    results = {"measurement": "compare", "suite": args.suite, "date": args.date, "machine": measure.processor(),
               "device": device["name"], "driver": f"{device['driver']} {device['driver_info']}", "kind": driver,
               "command": shlex.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]]), "shape": suite.shape, "load": []}
    if not args.no_profile:
        results["profiles"] = [systems[0].profile(cases[kind]) for kind in ("forward", "training")]
    for number in measure.rounds_within(args.seconds - (time.monotonic() - begin), args.rounds or suite.rounds):
        results["load"].append(os.getloadavg()[0])
        for kind, case in cases.items():
            take_turns(case, systems, samples[kind])
            results["cases"] = [summary(key, cases[key], of, limits) for key, of in samples.items() if of]
            results["systems"] = {system.name: {"absent": system.absent, **getattr(system, "about", {})} for system in systems}
            measure.save(args.json, results)  # what there is, should the time run out
        results["rounds"] = number + 1
    measure.save(args.json, results)
    for system in systems:
        if isinstance(system, peers.LinePeer):
            system.close()
    print(f"{results['device']}, {results['driver']}; {results['machine']}; {results['rounds']} rounds\n{table(results)}")
    for system in systems:
        if system.absent:
            print(f"absent: {system.name}: {system.absent}")
    verdicts = [ratio["passed"] for case in results["cases"] for ratio in case["ratios"].values()]
    sys.exit(1 if False in verdicts else 0)


if __name__ == "__main__":
    main()
