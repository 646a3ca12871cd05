"""What the acceptance measurements share: alternating runs, medians, one readable line and one JSON line. Standard library
only, because some run in a minimal Debian folder (beside_peers)."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# llama.cpp's best settings on CPU drivers; its defaults are 2 to 9 times slower there.
LLAMA_SETTINGS = {"GGML_VK_VISIBLE_DEVICES": "0", "GGML_VK_DISABLE_COOPMAT": "1", "GGML_VK_DISABLE_F16": "1"}
PEERS = pathlib.Path("/opt/peers")


def parser(description):
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vkbert", default=str(REPOSITORY / "build/release/bin/vkbert"), help="the program to measure")
    options.add_argument("--vkbert-command", type=shlex.split, metavar="COMMAND",
                         help="how to start it instead, split as a shell would: a wrapper that enters a folder or sets a driver")
    options.add_argument("--device", default="auto", help="passed to vkbert")
    options.add_argument("--work", type=pathlib.Path, default=pathlib.Path(os.environ.get("TMPDIR", "/tmp")),
                         help="folder for small files made here")
    return options


def run(command, settings=None):
    """(standard output, standard error, seconds of the whole process). Ends the script when the command fails."""
    begin = time.monotonic()
    result = subprocess.run([str(part) for part in command], env={**os.environ, **(settings or {})},
                            stdin=subprocess.DEVNULL, capture_output=True)
    seconds = time.monotonic() - begin
    errors = result.stderr.decode(errors="replace")
    if result.returncode:
        sys.exit(f"exit code {result.returncode} from: {' '.join(map(str, command))}\n{errors[-3000:]}")
    return result.stdout.decode(), errors, seconds


def bench_lines(args, *more):
    """What `vkbert bench` says of itself, a result for each batch (--lengths, more than once), and its standard error."""
    command = [*(args.vkbert_command or [args.vkbert]), "bench", "--device", args.device, *more, "--json"]
    output, errors, _ = run(command)
    return [json.loads(line) for line in output.splitlines()], errors


def bench(args, *more):
    """The same of one batch; standard error has the table of --profile."""
    (line,), errors = bench_lines(args, *more)
    return line, errors


def selected_device(args):
    """The device of `vkbert devices` that the measurements run on."""
    command = [*(args.vkbert_command or [args.vkbert]), "devices", "--device", args.device, "--json"]
    devices = json.loads(run(command)[0])["devices"]
    return next(device for device in devices if device["selected"])


def save(path, figures):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def rounds_within(seconds, most):
    """Round numbers: the first one always, later ones while the longest so far would still end in time."""
    begin, longest = time.monotonic(), 0
    for number in range(most):
        start = time.monotonic()
        if number and start - begin + longest > seconds:
            return
        yield number
        longest = max(longest, time.monotonic() - start)


def alternate(contenders, rounds):
    """Runs A B A B ...: {name: function} -> {name: [what each call returned]}."""
    results = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            results[name].append(call())
    return results


def spread(values):
    """Median with the extremes, for the readable line."""
    return f"{statistics.median(values):.4g} [{min(values):.4g} .. {max(values):.4g}]"


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {len(os.sched_getaffinity(0))} threads"


def report(name, figures, passed):
    """Prints both lines; exit code 1 when not passed."""
    text = ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in figures.items())
    print(f"{name}: {'pass' if passed else 'FAIL'}: {text}")
    print(json.dumps({"measurement": name, "passed": passed, **figures, "machine": processor(),
                      "date": datetime.date.today().isoformat()}), flush=True)
    sys.exit(0 if passed else 1)
