"""Cells of NASNet, drawn from their wiring as Fig. 4 of its paper draws them: bottom to top."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from cnnlib.models.nasnet import Cell
from cnnlib.plots.style import COLOURS, DASHES, closed

WIDTH, HEIGHT = 0.98, 0.36  # of a box, in inches
COLUMN, ROW = 2.2, 1.75  # from one block to the next, sideways and upwards

_INPUTS = ("$h_{i-1}$", "$h_i$")
_SIGNS = {"add": "+", "concatenate": "⧺"}


def cell(wiring: Cell) -> Figure:
    """The blocks of a cell between its two inputs and what it hands on.

    Every block has a column of its own; a block that reads another one stands above it. What is
    read has the colour and dash of where it comes from.

    Args:
        wiring: for instance ``NASNET_A.normal``.
    """
    rows = _rows(wiring)
    blocks, top = len(wiring.blocks), max(rows)
    height = 1.55 + ROW * top
    figure, axis = plt.subplots(figsize=(COLUMN * blocks + 0.5, height))
    output = ROW * top + 0.55  # height of the bar that is handed on
    points = [(COLUMN * (blocks - 1) * share, 0.0) for share in (0.3, 0.7)]
    for name, (x, y) in zip(_INPUTS, points, strict=True):
        _box(axis, x, y, name, "#f3f3f3")
    for place, (block, row) in enumerate(zip(wiring.blocks, rows, strict=True)):
        x, y = COLUMN * place, ROW * row
        for (state, operation), side in ((block.left, -1), (block.right, 1)):
            middle, below = x + side * (WIDTH / 2 + 0.05), y - 0.62
            _line(axis, state, points[state], (middle, below - HEIGHT / 2))
            _box(axis, middle, below, operation, "#fbe3cf")
            _line(axis, None, (middle, below + HEIGHT / 2), (x, y))
        axis.add_patch(Circle((x, y), 0.15, fc="#e3f0d9", ec="black", lw=0.9, zorder=3))
        axis.text(x, y, _SIGNS[block.combine], ha="center", va="center", zorder=4)
        points.append((x, y))
    left, right = -WIDTH - 0.15, COLUMN * (blocks - 1) + WIDTH + 0.15
    for state in wiring.concatenated:
        x, y = points[state]
        if state < 2:  # around all blocks, on the side where the input stands
            edge = left if state == 0 else right
            _line(axis, state, (x, y), (edge, y), (edge, output))
        else:
            _line(axis, None, (x, y), (x, output))
    bar = (left - 0.1, output), right - left + 0.2, HEIGHT
    axis.add_patch(Rectangle(*bar, fc="#f5dbe3", ec="black", lw=0.9, zorder=3))
    axis.text((left + right) / 2, output + HEIGHT / 2, "$h_{i+1}$: concatenate", ha="center",
              va="center", zorder=4)  # fmt: skip
    axis.set(xlim=(left - 0.15, right + 0.15), ylim=(-HEIGHT / 2 - 0.1, output + HEIGHT + 0.05))
    axis.set_aspect("equal")
    axis.axis("off")
    return closed(figure)


def _rows(wiring: Cell) -> list[int]:
    """For every block the row it stands in: one above the highest block that it reads."""
    heights = [0, 0]
    for block in wiring.blocks:
        heights.append(1 + max(heights[state] for state, _ in block[:2]))
    return heights[2:]


def _box(axis: Axes, x: float, y: float, text: str, fill: str) -> None:
    corner = x - WIDTH / 2, y - HEIGHT / 2
    style = "round,pad=0,rounding_size=0.06"
    axis.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=style, fc=fill, ec="black", lw=0.9, zorder=3)
    )
    axis.text(x, y, text, ha="center", va="center", fontsize=11, zorder=4)


def _line(axis: Axes, state: int | None, *points: tuple[float, float]) -> None:
    """A line through points, in the look of a hidden state or, for None, plain."""
    colour, dash = "black", DASHES[0]
    if state is not None:
        colour, dash = COLOURS[state % len(COLOURS)], DASHES[state % len(DASHES)]
    across, up = zip(*points, strict=True)
    axis.plot(across, up, color=colour, linestyle=dash, linewidth=1.3, zorder=2)
