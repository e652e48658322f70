"""Charts of what is paid against what is got: speed under its roofs, quality against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from cnnlib.plots.style import COLOURS, DASHES, MARKERS, closed

Points = Sequence[tuple[float, float]]


def roofline(
    points: Mapping[str, Points],
    roof: float,
    slopes: Mapping[str, float],
) -> Figure:
    """Speed against work per byte, under what the processor can do at most.

    Args:
        points: name of a kind -> (MACs for each byte moved, billions of MACs per second).
        roof: billions of MACs per second that the processor reaches at best.
        slopes: name -> billions of bytes per second, from some memory.

    Raises:
        ValueError: nothing to draw, or a number that is not positive.
    """
    pairs = [pair for some in points.values() for pair in some]
    if not pairs or not slopes:
        raise ValueError("roofline needs at least one point and one slope")
    if min(roof, *slopes.values(), *(number for pair in pairs for number in pair)) <= 0:
        raise ValueError("speeds and intensities must be positive")
    figure, axis = plt.subplots(figsize=(6.4, 4.0))
    low = 0.7 * min(x for x, _ in pairs)
    high = 1.5 * max(roof / min(slopes.values()), *(x for x, _ in pairs))
    axis.plot([low, high], [roof, roof], color="black", linewidth=1.2, linestyle="-")
    axis.text(high, roof * 1.06, "arithmetic", ha="right", va="bottom", fontsize=8)
    for (name, slope), dash in zip(slopes.items(), ("--", "-.", ":"), strict=False):
        knee = roof / slope
        ends = [low, min(knee, high)]
        axis.plot(ends, [slope * x for x in ends], color="black", linewidth=1.2, linestyle=dash)
        axis.text(low * 1.05, slope * low * 1.12, name, fontsize=8, rotation=33, va="bottom")
    for (name, some), colour, marker in zip(
        points.items(), cycle(COLOURS), cycle(MARKERS), strict=False
    ):
        x, y = zip(*some, strict=True)
        axis.plot(x, y, marker, color=colour, label=name, linestyle="none", markersize=6)
    axis.set(
        xscale="log", yscale="log", xlim=(low, high), xlabel="MACs for each byte", ylabel="GMAC/s"
    )
    axis.legend(loc="lower right")
    return closed(figure)


def tradeoff(
    points: Mapping[str, Points],
    *,
    x: str = "millions of MACs",
    y: str = "top-1 accuracy in %",
    log: bool = True,
) -> Figure:
    """Quality against cost, one line for each family, in the order of the points.

    Args:
        points: name of a family -> (cost, quality).
        x: text of the horizontal axis, with its unit.
        y: text of the vertical axis.
        log: logarithmic horizontal axis.

    Raises:
        ValueError: nothing to draw.
    """
    if not any(points.values()):
        raise ValueError("tradeoff needs at least one point")
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    styles = zip(cycle(COLOURS), cycle(DASHES), cycle(MARKERS), strict=False)
    for (name, some), (colour, dash, marker) in zip(points.items(), styles, strict=False):
        costs, values = zip(*some, strict=True)
        axis.plot(costs, values, color=colour, linestyle=dash, marker=marker, label=name)
    axis.set(xlabel=x, ylabel=y, xscale="log" if log else "linear")
    if log:  # 50, 100, 200 instead of powers of ten, of which there may be only one
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend()
    return closed(figure)


def planes(panels: Mapping[str, Tensor], *, columns: int = 3) -> Figure:
    """Points of a plane, coloured by their order along a curve, one small panel for each set.

    Args:
        panels: title -> (points, 2).
        columns: panels in a row.

    Raises:
        ValueError: nothing to draw, or something else than points of a plane.
    """
    if not panels:
        raise ValueError("planes needs at least one panel")
    for name, points in panels.items():
        if points.dim() != 2 or points.shape[1] != 2:
            raise ValueError(f"{name!r} must be (points, 2), got {tuple(points.shape)}")
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.2 * columns, 2.25 * rows), squeeze=False)
    for axis, (name, points) in zip(axes.flat, panels.items(), strict=False):
        order = torch.linspace(0, 1, len(points)).numpy()
        values = points.detach().cpu()
        axis.scatter(values[:, 0].numpy(), values[:, 1].numpy(), c=order, s=6, cmap="viridis")
        axis.set_title(name, fontsize=9)
        axis.set(xticks=[], yticks=[], aspect="equal")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    return closed(figure)
