"""Two figures of the same things against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from cnnlib.plots.style import COLOURS, MARKERS, closed

Point = tuple[float, float]


def scatter(
    groups: Mapping[str, Sequence[Point]],
    *,
    x: str,
    y: str,
    notes: Mapping[str, Point] | None = None,
) -> Figure:
    """Points of several groups, each with a colour and a marker of its own.

    Args:
        groups: name of a group -> its points.
        x: text of the horizontal axis, with its unit.
        y: text of the vertical axis, with its unit.
        notes: words to write beside points.

    Raises:
        ValueError: nothing to draw.
    """
    if not any(groups.values()):
        raise ValueError("scatter needs at least one point")
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    looks = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    for (name, points), (colour, marker) in zip(groups.items(), looks, strict=False):
        across, up = zip(*points, strict=True) if points else ((), ())
        axis.plot(across, up, color=colour, marker=marker, linestyle="none", label=name)
    for words, point in (notes or {}).items():
        axis.annotate(words, point, (6, -12), textcoords="offset points")
    axis.set(xlabel=x, ylabel=y)
    axis.legend()
    return closed(figure)
