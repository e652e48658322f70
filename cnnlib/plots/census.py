"""Pictures that compare many networks: on a map, by their ideas, with the spread of their seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cnnlib.inspection.census import NOT_SAID, TESTINGS, Entry, front
from cnnlib.plots.style import COLOURS, MARKERS, closed

COSTS = {
    "parameters": "parameters",
    "macs": "multiply-adds (MACs) for one image",
    "activations": "activations for one image",
    "time": "milliseconds for one image, one CPU thread",
}
ERRORS = {"top1": "top-1 error (%)", "top5": "top-5 error (%)"}


def landscape(
    entries: Sequence[Entry],
    *,
    x: str = "macs",
    y: str = "top1",
    named: Collection[str] | None = None,
) -> Figure:
    """Error against a cost; a marker for each way of testing, and for each a Pareto front.

    Args:
        entries: networks; those without the error are left out.
        x: a key of ``COSTS``, on a logarithmic axis.
        y: a key of ``ERRORS``.
        named: labels to write beside their dots; by default every second one of each front.

    Raises:
        ValueError: an unknown quantity, or no network with this error.
    """
    if x not in COSTS or y not in ERRORS:
        raise ValueError(f"x is one of {list(COSTS)} and y of {list(ERRORS)}, got {x!r} and {y!r}")
    shown = [entry for entry in entries if getattr(entry, y) is not None]
    if not shown:
        raise ValueError(f"no network with a {ERRORS[y]}")

    def cost(entry: Entry) -> float:
        return entry.time.median if x == "time" else getattr(entry, x)

    figure, axis = plt.subplots(figsize=(7.6, 4.8))
    ways = (*dict.fromkeys(TESTINGS.values()), NOT_SAID)
    texts: list[Entry] = []
    for way, colour, marker in zip(ways, COLOURS, MARKERS, strict=False):
        alike = [entry for entry in shown if entry.testing == way]
        if not alike:
            continue
        axis.plot(
            [cost(e) for e in alike], [getattr(e, y) for e in alike], marker,
            color=colour, markersize=6, markerfacecolor="none", label=way,
        )  # fmt: skip
        best = front(alike, cost, lambda entry: getattr(entry, y))
        axis.plot(
            [cost(e) for e in best], [getattr(e, y) for e in best],
            marker=marker, color=colour, markersize=6, linestyle="--", linewidth=1,
        )  # fmt: skip
        texts += best[::2] if named is None else [e for e in alike if e.label in named]
    for entry in texts:
        axis.annotate(
            entry.label, (cost(entry), getattr(entry, y)), xytext=(4, 6),
            textcoords="offset points", fontsize=7.5,
        )  # fmt: skip
    axis.set(xscale="log", xlabel=COSTS[x], ylabel=ERRORS[y])
    axis.legend(title="what was shown of a test image")
    return closed(figure)


def presence(columns: Mapping[str, Collection[str]], rows: Sequence[str]) -> Figure:
    """A grid of dots: which of the things named in ``rows`` each column has.

    Args:
        columns: name of a column: the rows that it has.
        rows: from top to bottom.

    Raises:
        ValueError: a column has something that is not a row.
    """
    for name, has in columns.items():
        if unknown := set(has) - set(rows):
            raise ValueError(f"{name!r} has {sorted(unknown)}, which is no row")
    figure, axis = plt.subplots(figsize=(0.38 * len(columns) + 2.4, 0.27 * len(rows) + 1.7))
    for i, has in enumerate(columns.values()):
        places = [rows.index(name) for name in has]
        axis.plot([i] * len(places), places, "o", color=COLOURS[0], markersize=7)
    axis.set_xticks(range(len(columns)), columns, rotation=55, ha="left", rotation_mode="anchor")
    axis.set_yticks(range(len(rows)), rows)
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=8.5)
    axis.set(xlim=(-0.6, len(columns) - 0.4), ylim=(len(rows) - 0.4, -0.6))
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    return closed(figure)


def spreads(
    values: Mapping[str, Sequence[float]],
    *,
    label: str,
    bar: float | None = None,
    bar_name: str = "",
) -> Figure:
    """Every run as a dot, its mean as a line; the smallest mean on top.

    Args:
        values: name: one number per run.
        label: text of the horizontal axis, with its unit.
        bar: a length to compare differences with, drawn in the upper right corner.
        bar_name: what it is.

    Raises:
        ValueError: nothing to draw.
    """
    if not values:
        raise ValueError("spreads needs at least one row")
    means = {name: sum(runs) / len(runs) for name, runs in values.items()}
    order = sorted(means, key=means.__getitem__, reverse=True)
    figure, axis = plt.subplots(figsize=(7.2, 0.29 * len(order) + 1.1))
    for place, name in enumerate(order):
        axis.plot(values[name], [place] * len(values[name]), "o", color=COLOURS[0], markersize=4.5,
                  markerfacecolor="none")  # fmt: skip
        axis.plot([means[name]] * 2, [place - 0.32, place + 0.32], "-", color=COLOURS[1])
    if bar is not None:
        right, top = max(map(max, values.values())), len(order) - 0.8
        axis.plot([right - bar, right], [top, top], "|-", color="black", linewidth=1.4)
        axis.annotate(bar_name, (right - bar / 2, top), xytext=(0, -4), va="top", ha="center",
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axis.set_yticks(range(len(order)), order)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axis.set(xlabel=label)
    axis.grid(axis="y", visible=False)
    return closed(figure)
