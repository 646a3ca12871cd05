#!/usr/bin/env python3
"""Draws what compare.py, growth.py and no_padding.py measured, as SVG files.

    python3 tools/bench/plots.py [FILE.json ...] [--into tools/bench/plots]

Without files: those in build/bench. Several runs of compare.py (one a driver) come into one picture of ratios. Drawn: ratios,
a roofline for each profile in them, length, batch, layers and hidden size, padding.
"""

import argparse
import json
import math
import pathlib
import sys

import growth
import measure
from svg import COLOURS, INK, Axis, Drawing, Plot, number

GREY = "#57606a"
PEER_COLOURS = {"llama.cpp Vulkan": COLOURS[1], "llama.cpp CPU": COLOURS[4], "PyTorch": COLOURS[0], "ONNX Runtime": COLOURS[3]}


def where(results):
    driver = results["driver"] if results["device"].startswith("llvmpipe") else f"{results['device']}, {results['driver']}"
    bits = results["device"].rsplit(",", 1)[-1].strip(" )") if "bits" in results["device"] else ""
    return ", ".join(part for part in (driver, bits, results["machine"], results["date"]) if part)


def decade_below(value):
    return 10.0 ** math.floor(math.log10(value))


def ratios(runs, into):
    """Bars of vkbert's rate over each peer's, one group a run and kind of work; a tick where the limit is."""
    rows = []
    for run in runs:
        rows.append((where(run), None, None))
        for case in run["cases"]:
            rows += [(case["title"], peer, ratio) for peer, ratio in case["ratios"].items()]
    shown = [ratio for *_, ratio in rows if ratio]
    if not shown:
        return
    low = min(0.1 if min(ratio["ratio"], ratio.get("limit") or 1) < 0.2 else 0.2 for ratio in shown)
    axis = Axis("vkbert's tokens/s over the peer's (more is better)", low,
                max(2.0, 1.6 * max(ratio["most"] for ratio in shown)), log=True, ticks=[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    step, top, left, width = 22, 62, 335, 415
    drawing = Drawing(820, top + step * len(rows) + 62)
    drawing.heading("Speed beside others on the same work", "Medians of alternating runs; whiskers: extremes of the rounds; "
                    "red tick: the limit that is tested")
    plot = Plot(drawing, left, top, width, step * len(rows), axis, Axis("", 0, len(rows), ticks=[-1]))
    for index, (title, peer, ratio) in enumerate(rows):
        y = top + step * index
        if ratio is None:
            drawing.rectangle(0, y + 1, 820, step - 2, "#f6f8fa")
            drawing.text(16, y + 15, title, 11.5, colour=GREY, bold=True)
            continue
        drawing.text(left - 10, y + 15, f"{title} / {peer}", 11.5, "end")
        drawing.line([(plot.x(1), y), (plot.x(1), y + step)], INK, 1.5)
        begin, end = sorted((plot.x(1), plot.x(max(low, ratio["ratio"]))))
        drawing.rectangle(begin, y + 4, end - begin, step - 8, PEER_COLOURS.get(peer, GREY))
        drawing.line([(plot.x(max(low, ratio[key])), y + step / 2) for key in ("least", "most")], INK, 1.2)
        if ratio["limit"]:
            drawing.line([(plot.x(ratio["limit"]), y + 2), (plot.x(ratio["limit"]), y + step - 2)], "#cf222e", 2.5)
        drawing.text(max(end, plot.x(max(low, ratio["most"]))) + 6, y + 15, f"{ratio['ratio']:.2f}", 12, bold=True)
    drawing.save(into / "ratios.svg")


def colours_of(dispatches):
    """The ops that take most of the time have a colour, the rest is grey."""
    time = {}
    for row in dispatches:
        time[row["op"]] = time.get(row["op"], 0) + row["milliseconds"]
    ordered = sorted(time, key=time.get, reverse=True)
    return {op: COLOURS[i] if i < len(COLOURS) - 1 else COLOURS[-1] for i, op in enumerate(ordered)}


def spots(profile, axis):
    """[(intensity, GFLOP/s, row)]; what computes nothing, or too little to tell, stands at the left edge, at its bandwidth."""
    result = []
    for row in profile["dispatches"]:
        flops, data = row["gflops"] or 0, row["gigabytes"] or 0
        if flops and data and flops / data > axis.low:
            result.append((min(flops / data, axis.high), flops, row))
        elif data:
            result.append((axis.low, data * axis.low, row))
    return result


def roofline(profile, subtitle, into, name):
    """Each dispatch by arithmetic intensity and rate; area by its share of the time."""
    flops, data = profile["ceiling_gflops"], profile["ceiling_gigabytes"]
    intensities = [row["gflops"] / row["gigabytes"] for row in profile["dispatches"] if row["gflops"] and row["gigabytes"]]
    x = Axis("arithmetic intensity, FLOP/byte (unfused, as the plan counts it)", 0.05,
             max(2 * max(intensities, default=1), 4 * flops / data), log=True)
    found = spots(profile, x)
    y = Axis("GFLOP/s", max(decade_below(min((at for _, at, _ in found), default=1)), flops * 1e-6), 2 * flops, log=True)
    drawing = Drawing(820, 540)
    drawing.heading(f"Every dispatch of {profile['name']} against the roofline", subtitle)
    plot = Plot(drawing, 76, 64, 720, 370, x, y)
    roof = [(x.low, max(y.low, data * x.low)), (flops / data, flops), (x.high, flops)]
    if data * x.low < y.low:
        roof[0] = (y.low / data, y.low)
    plot.curve(roof, INK, 2)
    drawing.text(plot.x(x.high) - 4, plot.y(flops) - 6, f"{number(flops)} GFLOP/s measured in registers", 11.5, "end")
    middle = max(x.low, y.low / data) ** 0.5 * (flops / data) ** 0.5
    drawing.text(plot.x(middle) - 8, plot.y(data * middle) - 6, f"{number(data)} GB/s copied", 11.5, "end")
    colours = colours_of(profile["dispatches"])
    for intensity, rate, row in sorted(found, key=lambda spot: -spot[2]["percent"]):
        note = f"{row['label']}: {row['op']} {row['variant']}, {row['milliseconds']} ms, {row['percent']}%"
        drawing.circle(*plot.at(intensity, min(max(rate, y.low), y.high)), 3 + 1.9 * math.sqrt(row["percent"]),
                       colours[row["op"]], note=note)
    label_largest(drawing, plot, found)
    drawing.legend([(op, colour) for op, colour in list(colours.items())[:7]] +
                   ([("the rest", COLOURS[-1])] if len(colours) > 7 else []), 20, 500, right=810)
    drawing.save(into / f"{name}.svg")


def label_largest(drawing, plot, found):
    """The marks that take most of the time are named in the free space below the roof, each with a line to its mark."""
    middle, bottom = plot.left + 0.6 * plot.width, plot.top + plot.height - 12
    marks = [(*plot.at(intensity, max(rate, plot.y_axis.low)), f"{row['label'].replace('layer * ', '')} {row['percent']:.0f}%")
             for intensity, rate, row in sorted(found, key=lambda spot: -spot[2]["percent"])[:7]]
    # From left to right on the one side and from right to left on the other the lines do not cross.
    marks.sort(key=lambda mark: mark[0] if mark[0] >= middle else 2 * plot.drawing.width - mark[0])
    for index, (x, y, text) in enumerate(marks):
        at = bottom - 15 * (len(marks) - 1 - index)
        half = (3.1 * len(text) + 6) * (1 if x >= middle else -1)
        drawing.line([(x, y), (middle + half, at - 4)], GREY, 0.7)
        drawing.text(middle, at, text, 11, "middle")


def length_plot(run, into):
    """Time of a token: its linear growth is the quadratic part of attention, which the area shows."""
    series = run["series"]["length"]
    micro = [1e6 * t / n for t, n in zip(series["seconds"], series["tokens"])]
    constant, slope = (1e6 * c for c in series["fit"]["coefficients"])
    last = series["x"][-1]
    drawing = Drawing(820, 456)
    drawing.heading("Time of a token against the length of its sequence", where(run))
    plot = Plot(drawing, 76, 64, 720, 310, Axis(f"tokens of each sequence, about {run['scale']['tokens']} in all", 0, last * 1.04,
                                                ticks=series["x"][2:]),
                Axis("microseconds a token", 0, 1.15 * max(micro)))
    drawing.area([plot.at(0, constant), plot.at(last, constant), plot.at(last, constant + slope * last)], COLOURS[1])
    plot.curve([(0, constant), (last, constant)], COLOURS[0])
    plot.curve([(0, constant), (last, constant + slope * last)], COLOURS[1])
    plot.dots(list(zip(series["x"], micro)), INK)
    drawing.text(*plot.at(last * 0.45, constant * 0.5), "matmuls and the rest: the same for every token", 12, "middle",
                 COLOURS[0])
    share = series["figures"]["attention's share at the end"]
    drawing.text(plot.x(last * 0.97), plot.y(constant + slope * last * 0.45),
                 f"grows with the length: attention, {share:.0%} at {last}", 12, "end", COLOURS[1])
    scale = run["scale"]
    drawing.text(16, 442, f"{scale['layers']} layers of hidden size {scale['hidden']}, {run['precision']}; line: least squares; "
                 f"worst error {series['figures']['worst error']:.0%}", 11.5, colour=GREY)
    drawing.save(into / "length.svg")


def batch_plot(run, into):
    series = run["series"]["batch"]
    milli, xs = [1e3 * t for t in series["seconds"]], series["x"]
    drawing = Drawing(820, 456)
    drawing.heading("Time of a forward pass against the batch", where(run))
    plot = Plot(drawing, 76, 64, 720, 310,
                Axis(f"sequences of {run['scale']['length']} tokens", xs[0] * 0.85, xs[-1] * 1.2, True, xs),
                Axis("milliseconds", min(milli) / 2, max(milli) * 2, True))
    powers, c = series["fit"]["powers"], series["fit"]["coefficients"]
    steps = [xs[0] * (xs[-1] / xs[0]) ** (i / 60) for i in range(61)]
    fitted = [(x, 1e3 * growth.value(c, powers, x)) for x in steps]
    plot.curve([point for point in fitted if point[1] > plot.y_axis.low], COLOURS[0])
    plot.dots(list(zip(xs, milli)), INK)
    scale, exponent = run["scale"], series["figures"]["exponent"]
    drawing.text(16, 442, f"Line: a + b x sequences; exponent from {xs[-1] // 8} on: {exponent:.2f}; {scale['layers']} layers of "
                 f"hidden size {scale['hidden']}, {run['precision']}", 11.5, colour=GREY)
    drawing.save(into / "batch.svg")


def shape_plot(run, into):
    """Layers and hidden size side by side."""
    drawing = Drawing(820, 400)
    drawing.heading("Time of a forward pass against layers and hidden size", where(run))
    panels = (("layers", "layers", "a + b x layers", 76), ("hidden", "hidden size", "a + b x H + c x H²", 480))
    for name, label, law, left in panels:
        series = run["series"][name]
        milli, xs = [1e3 * t for t in series["seconds"]], series["x"]
        plot = Plot(drawing, left, 64, 310, 260, Axis(label, 0, xs[-1] * 1.05, ticks=xs),
                    Axis("milliseconds", 0, 1.15 * max(milli)))
        powers, c = series["fit"]["powers"], series["fit"]["coefficients"]
        plot.curve([(x, max(0, 1e3 * growth.value(c, powers, x))) for x in (xs[-1] * i / 40 for i in range(41))], COLOURS[0])
        plot.dots(list(zip(xs, milli)), INK)
        drawing.text(left, 384, f"Line: {law}; worst error {series['figures']['worst error']:.0%}", 11.5, colour=GREY)
    drawing.save(into / "layers_and_hidden.svg")


def padding_plot(run, into):
    """Rate of real tokens relative to equal lengths, against the padding share."""
    drawing = Drawing(820, 478)
    drawing.heading("What padding costs, and mixed lengths without it", where(run))
    most = max(one["padding_share"] for mix in run["mixes"].values() for one in mix["runs"].values())
    plot = Plot(drawing, 76, 64, 720, 320, Axis("padding, % of all tokens", -2, max(10, 100 * most + 12)),
                Axis("real tokens/s, % of equal lengths", 0, 115))
    far = plot.x_axis.high
    plot.curve([(0, 100), (far, 100 - far)], GREY, 1.5, "5 4")
    drawing.text(plot.x(far * 0.3) + 8, plot.y(100 - far * 0.3) - 6, "left if padding costs what tokens cost", 11.5,
                 colour=GREY)
    plot.curve([(-2, 100 * run["limit"]), (far, 100 * run["limit"])], "#cf222e", 1, "2 3")
    drawing.text(plot.x(far) - 4, plot.y(100 * run["limit"]) - 5, f"limit without padding: {run['limit']:.0%}", 11.5, "end",
                 "#cf222e")
    for index, (colour, (name, mix)) in enumerate(zip(COLOURS, run["mixes"].items())):
        for label, one in mix["runs"].items():
            if label != "equal":
                drawing.circle(*plot.at(100 * one["padding_share"], 100 * one["relative"]), 6, colour,
                               hollow=label == "mixed", note=f"{name}, {label}")
        rates = {label: f"{one['relative']:.1%}" for label, one in mix["runs"].items()}
        drawing.circle(24, 442 + 18 * index, 6, colour, hollow=True)
        drawing.text(36, 446 + 18 * index, f"{name}, {mix['sequences']} sequences of {mix['shortest']} to {mix['longest']}: "
                     f"{rates['mixed']} without padding (rings), {rates['sorted and padded']} in sorted padded batches, "
                     f"{rates['padded']} padded", 11.5)
    drawing.save(into / "padding.svg")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("files", nargs="*", type=pathlib.Path)
    options.add_argument("--into", type=pathlib.Path, default=measure.REPOSITORY / "build/bench/plots")
    args = options.parse_args()
    bench = measure.REPOSITORY / "build/bench"
    files = args.files or sorted(bench.glob("compare*.json")) + [path for name in ("growth.json", "padding.json")
                                                                 if (path := bench / name).exists()]
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    if not runs:
        sys.exit("nothing measured: run tools/bench/all, or compare.py, growth.py and no_padding.py")
    of = {kind: [run for run in runs if run["measurement"] == kind] for kind in ("compare", "growth", "no padding")}
    if of["compare"]:
        ratios(of["compare"], args.into)
    for run in of["compare"][-1:]:
        for name, profile in zip(("roofline", "roofline_training"), run.get("profiles", [])):
            roofline(profile, where(run), args.into, name)
    for run in of["growth"][-1:]:
        length_plot(run, args.into)
        batch_plot(run, args.into)
        shape_plot(run, args.into)
    for run in of["no padding"][-1:]:
        padding_plot(run, args.into)
    for path in sorted(args.into.glob("*.svg")):
        print(path)


if __name__ == "__main__":
    main()
