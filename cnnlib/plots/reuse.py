"""Who reads whom within dense blocks, as triangles of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnlib.plots.style import COLOURS, closed

SIDE = 0.55  # of a square, in inches


def reuse(
    connections: Sequence[tuple[int, int, int]],
    values: Sequence[float],
    *,
    digits: int = 2,
    labels: tuple[str, str] = ("source", "reader"),
) -> Figure:
    """A triangle for each block: column = who reads, row = whose maps; the darker, the more.

    All blocks share one scale, from 0 to the largest value; what is below 0 is white.

    Args:
        connections: (block, source, target) of each value, counted as by
            ``cnnlib.models.densenet.connections``.
        values: one for each connection.
        digits: decimals that are written into the squares.
        labels: names of the two axes (rows, columns).

    Raises:
        ValueError: not one value for each connection, or none at all.
    """
    if not values or len(values) != len(connections):
        raise ValueError(
            f"one value for each connection is needed; got {len(values)} for {len(connections)}"
        )
    largest = max(*values, 0.0) or 1.0
    dark = to_rgb(COLOURS[0])
    blocks = sorted({block for block, _, _ in connections})
    sides = [max(target for b, _, target in connections if b == block) for block in blocks]
    figure, axes = plt.subplots(
        1,
        len(blocks),
        figsize=(SIDE * sum(sides) + 0.7 * len(blocks), SIDE * max(sides) + 1.2),
        squeeze=False,
        width_ratios=sides,
    )
    for axis, block, side in zip(axes[0], blocks, sides, strict=True):
        for (number, source, target), value in zip(connections, values, strict=True):
            if number != block:
                continue
            share = min(max(value / largest, 0.0), 1.0) ** 0.5  # small values stay apart
            colour = tuple(1 - share * (1 - part) for part in dark)
            corner = (target - 0.5, source - 0.5)
            axis.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white"))
            written = f"{value:.{digits}f}".replace("-", "\u2212")
            ink = "white" if share > 0.6 else "black"
            axis.text(target, source, written, ha="center", va="center", color=ink, fontsize=8)
        axis.set(
            xlim=(0.5, side + 0.5),
            ylim=(side - 0.5, -0.5),
            xticks=range(1, side + 1),
            yticks=range(side),
            aspect="equal",
            xlabel=labels[1],
        )
        axis.set_title(str(block), fontsize=10)
        axis.grid(False)
        axis.tick_params(length=0)
        axis.spines[["left", "bottom"]].set_visible(False)
    axes[0][0].set_ylabel(labels[0])
    return closed(figure)
