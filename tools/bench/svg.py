"""Charts as SVG with nothing but the standard library: axes (linear or logarithmic), lines, marks, bars, text."""

import dataclasses
import html
import math

INK, FAINT = "#1f2328", "#d0d7de"
COLOURS = ["#0b62c4", "#d1480f", "#1a7f37", "#8250df", "#9a6700", "#bf3989", "#0e7490", "#57606a"]
FONT = "font-family=\"system-ui,'DejaVu Sans',Arial,sans-serif\""


@dataclasses.dataclass
class Axis:
    """Values from low to high; ticks are chosen when none are given."""

    label: str
    low: float
    high: float
    log: bool = False
    ticks: list = None

    def place(self, value):
        """0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self):
        if self.ticks:
            return [tick for tick in self.ticks if self.low <= tick <= self.high]
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1,) if len(decades) > 4 else (1, 2, 5)
            every = [step * 10.0 ** decade for decade in decades for step in steps]
            return [tick for tick in every if self.low <= tick <= self.high * 1.0001]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 6)
        return [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]


def number(value):
    """As few digits as it takes."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Drawing:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def line(self, points, colour=INK, width=1.5, dash=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{style}/>')

    def area(self, points, colour, opacity=0.15):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="{opacity}"/>')

    def circle(self, x, y, radius, colour, hollow=False, note=""):
        fill = f'fill="white" stroke="{colour}" stroke-width="2"' if hollow else \
            f'fill="{colour}" fill-opacity="0.75" stroke="white" stroke-width="0.8"'
        title = f"<title>{html.escape(note)}</title>" if note else ""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {fill}>{title}</circle>')

    def rectangle(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>')

    def text(self, x, y, text, size=12, anchor="start", colour=INK, bold=False, turned=False):
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
                          f'{weight}{turn}>{html.escape(text)}</text>')

    def heading(self, title, subtitle):
        self.text(16, 26, title, 16, bold=True)
        self.text(16, 45, subtitle, 11.5, colour="#57606a")

    def legend(self, entries, x, y, gap=18, right=None):
        """[(name, colour)] in a row from x on, wrapping at right; answers the height used."""
        at, top = x, y
        for name, colour in entries:
            wide = 16 + 6.6 * len(name) + gap
            if right and at + wide > right:
                at, y = x, y + 18
            self.circle(at + 5, y - 4, 5, colour)
            self.text(at + 15, y, name, 12)
            at += wide
        return y - top + 18

    def save(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
                        f'viewBox="0 0 {self.width} {self.height}" {FONT}>\n<rect width="100%" height="100%" fill="white"/>\n' +
                        "\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


class Plot:
    """A frame with two axes inside a drawing."""

    def __init__(self, drawing, left, top, width, height, x, y):
        self.drawing, self.left, self.top, self.width, self.height, self.x_axis, self.y_axis = (
            drawing, left, top, width, height, x, y)
        for tick in x.marks():
            drawing.line([self.at(tick, y.low), self.at(tick, y.high)], FAINT, 0.7)
            drawing.text(self.x(tick), top + height + 17, number(tick), 11.5, "middle")
        for tick in y.marks():
            drawing.line([self.at(x.low, tick), self.at(x.high, tick)], FAINT, 0.7)
            drawing.text(left - 7, self.y(tick) + 4, number(tick), 11.5, "end")
        drawing.line([(left, top), (left, top + height), (left + width, top + height)], INK, 1)
        drawing.text(left + width / 2, top + height + 37, x.label, 12.5, "middle")
        drawing.text(left - 46, top + height / 2, y.label, 12.5, "middle", turned=True)

    def x(self, value):
        return self.left + self.width * self.x_axis.place(value)

    def y(self, value):
        return self.top + self.height * (1 - self.y_axis.place(value))

    def at(self, x, y):
        return self.x(x), self.y(y)

    def curve(self, points, colour, width=2, dash=""):
        self.drawing.line([self.at(*point) for point in points], colour, width, dash)

    def dots(self, points, colour, radius=4.5, hollow=False):
        for point in points:
            self.drawing.circle(*self.at(*point), radius, colour, hollow)
