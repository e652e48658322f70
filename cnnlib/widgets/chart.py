"""Words and the static picture of the line charts that several interactives draw (chart.js)."""

from collections.abc import Sequence
from html import escape
from math import floor, log10
from statistics import mean, stdev
from typing import NamedTuple

LABELS = {
    "chart_keys": "Arrow keys move the cursor from point to point.",
    "at": "{x}",
    "at_mean": "{x}: mean ± standard deviation of {seeds} seeds",
    "table": "The numbers as a table",
}

# Those of chart.css on a light page, which are also readable on a dark one.
_COLOURS = ("#3b8fc4", "#d9722e", "#2f9e7d", "#bf6aa6", "#80858d", "#a08a20", "#7f72d8", "#c75050")
_DASHES = ("", "7 4", "2 3.5", "10 3 2 3")


class Line(NamedTuple):
    """A line of a chart: one value per place and seed."""

    name: str
    x: Sequence[float]
    seeds: Sequence[Sequence[float]]
    colour: int = 0
    dash: int = 0

    def means(self) -> list[float]:
        """Over the seeds, one per place."""
        return [mean(values) for values in zip(*self.seeds, strict=True)]


def summary(values: Sequence[float], kind: str) -> str:
    """Mean and standard deviation as chart.js writes them: "12.3 ± 0.4 %", or "0.457 ± 0.012"."""
    middle = mean(values)
    if kind == "log":
        return f"{middle:.2g}"
    scale, digits, unit = (100, 1, " %") if kind == "percent" else (1, 3, "")
    spread = f" ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * middle:.{digits}f}{spread}{unit}"


def table(lines: Sequence[Line], kind: str, x_label: str) -> str:
    """The last value of every line, as an HTML table."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left">{escape(line.name)}</th>'
        f'<td style="padding-left: 1em">{line.x[-1]:.6g}</td>'
        f'<td style="padding-left: 1em">{escape(summary([s[-1] for s in line.seeds], kind))}</td>'
        "</tr>"
        for line in lines
    )
    head = f'<tr><td></td><th scope="col">{escape(x_label)}</th><td></td></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def picture(lines: Sequence[Line], kind: str, title: str) -> str:
    """The means as a small SVG: it stands still, but shows the shape of the curves."""
    width, height, margin = 560, 240, 8
    places = [x for line in lines for x in line.x]
    curves = [line.means() for line in lines]
    values = [value for curve in curves for value in curve]

    def place(value: float) -> float:
        return log10(value) if kind == "log" else value

    low = floor(log10(min(values))) if kind == "log" else min(0.0, *values)
    high = max(place(value) for value in values)
    left, right = min(places), max(places)

    def point(x: float, y: float) -> str:
        across = margin + (width - 2 * margin) * (x - left) / (right - left or 1)
        down = height - margin - (height - 2 * margin) * (place(y) - low) / (high - low or 1)
        return f"{across:.1f},{down:.1f}"

    drawn = "".join(
        f'<polyline fill="none" stroke="{_COLOURS[line.colour % len(_COLOURS)]}" stroke-width="2" '
        f'stroke-dasharray="{_DASHES[line.dash % len(_DASHES)]}" '
        f'points="{" ".join(map(point, line.x, curve))}"/>'
        for line, curve in zip(lines, curves, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" style="max-width: {width}px; width: 100%">'
        f'<path d="M{margin} {margin}V{height - margin}H{width - margin}" fill="none" '
        f'stroke="#888"/>{drawn}</svg>'
    )
