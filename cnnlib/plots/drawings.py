"""Drawings of networks, made from the model objects."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnlib.inspection import Summary
from cnnlib.plots.style import closed


def architecture(summary: Summary) -> Figure:
    """The stages of a chain-like network as stacks of maps, drawn to scale from their shapes.

    A square's side is proportional to the side of a feature map, the depth of a stack to the
    square root of the number of maps, so that two stages may be compared by eye.

    Args:
        summary: ``cnnlib.inspection.summarize(model, input_shape)``.
    """
    run = [(row.name, row.output_shape) for row in summary.rows if row.output_shape is not None]
    stages = [("input", summary.input_shape), *run]
    figure, axis = plt.subplots(figsize=(8.4, 2.2))
    pixel = 1.15 / max(shape[-1] for _, shape in stages)
    most = max(shape[0] for _, shape in stages)
    left, step = 0.0, 0.06
    for name, shape in stages:
        channels, side = shape[0], (shape[-1] if len(shape) == 3 else 1)
        flat = side == 1  # a vector: a thin bar whose height is the number of units
        width, height = (0.07, 1.3 * channels / most) if flat else (side * pixel, side * pixel)
        sheets = 1 if flat else max(1, round(channels**0.5))
        extent = width + step * (sheets - 1)
        room = max(extent, 0.55)
        start = left + (room - extent) / 2
        for sheet in reversed(range(sheets)):
            corner = (start + step * sheet, -height / 2 + step * (sheet - (sheets - 1) / 2))
            axis.add_patch(Rectangle(corner, width, height, fc="#dbe9f4", ec="black", lw=0.8))
        size = f"{channels}" if flat else f"{channels}@{side}×{side}"
        title = name.upper() if len(name) < 3 else name
        axis.text(left + room / 2, 0.72, title, ha="center", fontsize=10)
        axis.text(left + room / 2, -0.86, size, ha="center", fontsize=9)
        left += room + 0.12
    axis.set(xlim=(-0.05, left), ylim=(-0.95, 0.9), aspect="equal")
    axis.axis("off")
    return closed(figure)


def links(table: Sequence[Sequence[int]], inputs: int, *, labels: tuple[str, str]) -> Figure:
    """A connection table as a grid of dots: column = output map, row = input map.

    Args:
        table: for each output map the input maps that it sees.
        inputs: number of input maps.
        labels: names of the two axes (inputs, outputs).
    """
    figure, axis = plt.subplots(figsize=(0.33 * len(table) + 0.8, 0.33 * inputs + 0.7))
    for column, seen in enumerate(table):
        axis.scatter([column] * len(seen), list(seen), s=45, color="black")
    axis.set(
        xticks=range(len(table)),
        yticks=range(inputs),
        xlim=(-0.6, len(table) - 0.4),
        ylim=(inputs - 0.4, -0.6),
        xlabel=labels[1],
        ylabel=labels[0],
    )
    return closed(figure)
