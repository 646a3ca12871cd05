#!/usr/bin/env python3
"""Peak host memory of `vkbert embed` against the checkpoint's size, and device memory against what --verbose predicts.

    python3 tools/bench/memory.py --model FOLDER

Passes when the peak of host memory is at most 1.3 times the weights file and the prediction is within 2% of what was
allocated. On a CPU driver device memory lies in the process as well: it is taken off the resident set, whose own ratio is
printed beside.
"""

import json
import pathlib
import re
import resource

import measure


def weights_bytes(folder):
    files = [*folder.glob("*.safetensors")] or [*folder.glob("pytorch_model*.bin")]
    return sum(file.stat().st_size for file in files)


def peak_of_children():
    """Largest resident set of any process run so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def main():
    options = measure.parser(__doc__)
    options.add_argument("--model", type=pathlib.Path, required=True)
    options.add_argument("--text", nargs="+", default=["A man is playing guitar on the street."])
    args = options.parse_args()
    measure.run([args.vkbert, "devices"])
    driver = peak_of_children()
    _, messages, _ = measure.run([args.vkbert, "embed", "--model", args.model, "--device", args.device, "--precision",
                                  "fp32", "--verbose", *args.text])
    peak = peak_of_children()
    predicted = int(re.search(r"device memory: (\d+) bytes predicted", messages)[1])
    allocated = int(re.search(r"device memory: (\d+) bytes at most were used", messages)[1])
    devices = json.loads(measure.run([args.vkbert, "devices", "--json", "--device", args.device])[0])["devices"]
    on_cpu = next(device for device in devices if device["selected"])["class"] == "cpu"
    host = peak - (allocated if on_cpu else 0)
    checkpoint = weights_bytes(args.model)
    error = abs(allocated - predicted) / allocated
    measure.report("memory", {
        "checkpoint bytes": checkpoint, "peak resident bytes": peak, "ratio with device memory": peak / checkpoint,
        "host bytes": host, "ratio": host / checkpoint,
        "of it the driver and program alone (vkbert devices)": driver,
        "device bytes predicted": predicted, "device bytes allocated": allocated, "prediction error": error},
        host <= 1.3 * checkpoint and error <= 0.02)


if __name__ == "__main__":
    main()
