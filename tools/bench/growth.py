#!/usr/bin/env python3
"""How the time of a forward pass grows with length, batch, layers and hidden size, with fits and bounds.

    python3 tools/bench/growth.py [--scale cpu|gpu] [--seconds 480]

What is fitted, by least squares of relative errors, and must hold:
    length   time of a token = a + b x length at a constant number of tokens: errors at most 15%, and a further term in
             length^2 at most 15% of the time at 512: attention is the only quadratic part and grows no faster
    batch    time = a + b x sequences: errors at most 15% from an eighth of the largest batch on; exponent there at most 1.1
    layers   time = a + b x layers: errors at most 10%
    hidden   time = a + b x H^2 + c x H, intermediate size 4 H: errors at most 15%, exponent over the last step at most 2.15
The exponents are slopes of log time against log size. Times are the fastest steps of all rounds: what other work on the machine
adds to some points and not to others would bend the curves. Hence a point's sample goes on for some time; one point is timed again
before and after every three; and after --rounds rounds of all points those are timed again, until --seconds are over, whose fastest
sample no other confirms: within 2%, both taken while that one point took no more than 5% longer than ever.
"""

import dataclasses
import datetime
import math
import pathlib
import statistics
import sys

import measure


@dataclasses.dataclass
class Scale:
    layers: int
    hidden: int
    tokens: int  # of every point where length or shape varies
    length: int  # of the sequences where batch or shape varies
    depths: list
    widths: list
    repeat: int  # least steps of a sample


SCALES = {
    "cpu": Scale(2, 128, 2048, 32, [1, 2, 4, 8], [128, 192, 256, 384, 512], 5),
    "gpu": Scale(12, 768, 16384, 128, [2, 4, 8, 12, 24], [256, 512, 768, 1024, 1536], 10),
}
SAMPLE_SECONDS, CONFIRMED, QUIET, MOST_ROUNDS = 0.7, 1.02, 1.05, 100
BETWEEN_REFERENCES = 3  # samples
LENGTHS, BATCHES = [16, 32, 64, 128, 256, 384, 512], [1, 2, 4, 8, 16, 32, 64, 128, 256]


def solve(matrix, right):
    """Gaussian elimination with pivots."""
    rows = [row[:] + [value] for row, value in zip(matrix, right)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(size):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i])]
    return [row[size] / row[i] for i, row in enumerate(rows)]


def fit(xs, ys, powers):
    """Coefficients of the sum of c x^p that is nearest to ys, errors counted in proportion to y."""
    top = max(xs)  # scaled to 1 lest the matrix be singular in doubles
    terms = [[(x / top) ** p / y for p in powers] for x, y in zip(xs, ys)]
    count = range(len(powers))
    scaled = solve([[sum(row[i] * row[j] for row in terms) for j in count] for i in count],
                   [sum(row[i] for row in terms) for i in count])
    return [c / top ** p for c, p in zip(scaled, powers)]


def value(coefficients, powers, x):
    return sum(c * x ** p for c, p in zip(coefficients, powers))


def worst(coefficients, powers, xs, ys):
    return max(abs(value(coefficients, powers, x) / y - 1) for x, y in zip(xs, ys))


def exponent(xs, ys):
    """Least-squares slope of log y against log x."""
    logs = [(math.log(x), math.log(y)) for x, y in zip(xs, ys)]
    mx, my = (statistics.mean(column) for column in zip(*logs))
    return sum((x - mx) * (y - my) for x, y in logs) / sum((x - mx) ** 2 for x, _ in logs)


def points(scale):
    """{series: [(x, layers, hidden, batch, length)]}"""
    batch = scale.tokens // scale.length
    return {
        "length": [(s, scale.layers, scale.hidden, max(1, scale.tokens // s), s) for s in LENGTHS],
        "batch": [(b, scale.layers, scale.hidden, b, scale.length) for b in BATCHES],
        "layers": [(n, n, scale.hidden, batch, scale.length) for n in scale.depths],
        "hidden": [(h, scale.layers, h, batch, scale.length) for h in scale.widths],
    }


def time_of(args, layers, hidden, batch, length, repeat):
    line = measure.bench(args, "--shape", f"{layers},{hidden},{hidden // 64},{4 * hidden}", "--batch", batch, "--length",
                         length, "--precision", args.precision, "--repeat", repeat)[0]
    return line["fastest_step"]


@dataclasses.dataclass
class Sample:
    seconds: float
    reference: float  # seconds of the reference point beside it


class Samples:
    """Of each point (series, x), and of the reference point, which tells how fast the machine is at the moment."""

    def __init__(self, args, scale):
        self.args, self.scale, self.of, self.fastest_reference = args, scale, {}, math.inf

    def time(self, fastest, shape):
        repeat = min(100, max(self.scale.repeat, round(SAMPLE_SECONDS / fastest))) if fastest < math.inf else self.scale.repeat
        return time_of(self.args, *shape, repeat)

    def time_reference(self):
        scale = self.scale
        shape = scale.layers, scale.hidden, scale.tokens // scale.length, scale.length
        seconds = self.time(self.fastest_reference, shape)
        self.fastest_reference = min(seconds, self.fastest_reference)
        return seconds

    def add(self, points):
        """One more sample of each."""
        before = self.time_reference()
        for first in range(0, len(points), BETWEEN_REFERENCES):
            new = []
            for name, x, *shape in points[first:first + BETWEEN_REFERENCES]:
                times = self.of.setdefault((name, x), [])
                new.append(Sample(self.time(min((t.seconds for t in times), default=math.inf), shape), before))
                times.append(new[-1])
            before = self.time_reference()
            for one in new:
                one.reference = max(one.reference, before)

    def fastest(self, point):
        return min(t.seconds for t in self.of[point])

    def confirmed(self, point):
        quiet = sorted(t.seconds for t in self.of[point] if t.reference <= QUIET * self.fastest_reference)
        return len(quiet) >= 2 and quiet[1] <= CONFIRMED * self.fastest(point)


def check(name, xs, ys, tokens):
    """The fit that belongs to the series, its figures, and what is out of bounds."""
    if name == "length":
        per_token = [y / n for y, n in zip(ys, tokens)]
        powers, c = [0, 1], fit(xs, per_token, [0, 1])
        steep = fit(xs, per_token, [0, 1, 2])
        excess = steep[2] * xs[-1] ** 2 / value(steep, [0, 1, 2], xs[-1])
        found = {"worst error": worst(c, powers, xs, per_token), "attention's share at the end": c[1] * xs[-1] /
                 value(c, powers, xs[-1]), "share of a cubic part": excess}
        passed = found["worst error"] <= 0.15 and c[1] > 0 and excess <= 0.15
    elif name == "batch":
        upper = [(x, y) for x, y in zip(xs, ys) if x >= max(xs) / 8]
        powers, c = [0, 1], fit(xs, ys, [0, 1])
        found = {"worst error": worst(c, powers, *zip(*upper)), "exponent": exponent(*zip(*upper))}
        passed = found["worst error"] <= 0.15 and found["exponent"] <= 1.1
    elif name == "layers":
        powers, c = [0, 1], fit(xs, ys, [0, 1])
        found = {"worst error": worst(c, powers, xs, ys), "exponent": exponent(xs, ys)}
        passed = found["worst error"] <= 0.10
    else:
        powers, c = [0, 1, 2], fit(xs, ys, [0, 1, 2])
        found = {"worst error": worst(c, powers, xs, ys), "exponent": exponent(xs[-2:], ys[-2:])}
        passed = found["worst error"] <= 0.15 and found["exponent"] <= 2.15
    return {"fit": {"powers": powers, "coefficients": c, "of a token": name == "length"}, "figures": found, "passed": passed}


def report_of(args, device, scale, samples, rounds):
    """What is written: every sample, the fits, and one pass or fail a series."""
    series = {}
    for name, of in points(scale).items():
        xs = [point[0] for point in of]
        ys = [samples.fastest((name, x)) for x in xs]
        tokens = [batch * length for *_, batch, length in of]
        taken = [[dataclasses.astuple(t) for t in samples.of[name, x]] for x in xs]
        series[name] = {"x": xs, "seconds": ys, "tokens": tokens, "samples": taken, **check(name, xs, ys, tokens)}
    return {"measurement": "growth", "date": args.date, "machine": measure.processor(), "device": device["name"],
            "driver": f"{device['driver']} {device['driver_info']}", "precision": args.precision, "rounds": rounds,
            "scale": dataclasses.asdict(scale), "series": series}


def main():
    options = measure.parser(__doc__)
    options.add_argument("--scale", choices=SCALES, help="default: by the device")
    options.add_argument("--precision", choices=("fp32", "fp16"), help="default: fp16 on GPUs, else fp32")
    options.add_argument("--rounds", type=int, default=3, help="at least, of all points")
    options.add_argument("--seconds", type=float, default=480, help="no further round that would end after this")
    options.add_argument("--date", default=datetime.date.today().isoformat())
    options.add_argument("--json", type=pathlib.Path, default=measure.REPOSITORY / "build/bench/growth.json")
    args = options.parse_args()
    device = measure.selected_device(args)
    args.scale = args.scale or ("cpu" if device["class"] == "cpu" else "gpu")
    args.precision = args.precision or ("fp32" if args.scale == "cpu" else "fp16")
    scale = SCALES[args.scale]
    samples = Samples(args, scale)
    for number in measure.rounds_within(args.seconds, MOST_ROUNDS):
        unsure = [(name, *point) for name, of in points(scale).items() for point in of
                  if number < args.rounds or not samples.confirmed((name, point[0]))]
        if not unsure:
            break
        samples.add(unsure)
        report = report_of(args, device, scale, samples, number + 1)
        measure.save(args.json, report)
    print(f"{report['device']}, {report['driver']}; {report['machine']}; {report['rounds']} rounds")
    for name, one in report["series"].items():
        figures = ", ".join(f"{key} {figure:.3g}" for key, figure in one["figures"].items())
        print(f"growth with {name}: {'pass' if one['passed'] else 'FAIL'}: {figures}")
    sys.exit(0 if all(one["passed"] for one in report["series"].values()) else 1)


if __name__ == "__main__":
    main()
