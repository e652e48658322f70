"""Plots and drawings of the book, readable in light and dark, in print and without colour.

Every function returns a closed ``matplotlib.figure.Figure``: as the last line of a notebook cell it
shows itself once. Lines differ in dash and marker as well as in colour. Charts have a white
background; the site inverts them in dark mode (cell tag ``dark-invert``). Sheets of images are
transparent (cell tag ``transparent``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import torch
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from cnnlib import papers
from cnnlib.inspection import Summary

# Colours that stay apart for colour-blind eyes (Okabe and Ito), each with a dash of its own.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")

_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=DASHES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
    "svg.hashsalt": "cnnlib",  # the same drawing gives the same file
}


def use_book_style() -> None:
    """Set matplotlib's defaults for every later plot, the reader's own included."""
    plt.rcParams.update(_STYLE)


def book_style() -> AbstractContextManager[None]:
    """The same for a while: for drawing into files without changing the reader's own defaults."""
    return plt.rc_context(_STYLE)


def _closed(figure: Figure) -> Figure:
    plt.close(figure)  # else the notebook shows it a second time
    return figure


def images(
    pictures: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 10,
    size: float = 0.75,
    signed: bool = False,
) -> Figure:
    """A grid of small grey images, each stretched to its own range.

    Args:
        pictures: (N, H, W) or (N, 1, H, W).
        titles: N short texts, one above each image.
        columns: images per row.
        size: width of one image in inches.
        signed: keep zero at middle grey (for kernels), one scale for all.

    Raises:
        ValueError: another shape, or another number of titles.
    """
    pictures = pictures.detach().cpu().float()
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        pictures = pictures[:, 0]
    if pictures.ndim != 3:
        raise ValueError(f"images takes (N, H, W) or (N, 1, H, W), got {tuple(pictures.shape)}")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"{len(titles)} titles for {len(pictures)} images")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = size * pictures.shape[1] / pictures.shape[2] + (0.22 if titles else 0.05)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * height), squeeze=False
    )
    figure.set_facecolor("none")  # on dark pages no white plate behind dark images
    limit = float(pictures.abs().max())
    scale: dict[str, Any] = {"vmin": -limit, "vmax": limit} if signed else {}
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(pictures):
            axis.imshow(pictures[i].numpy(), cmap="gray", interpolation="nearest", **scale)
            if titles is not None:
                axis.set_title(titles[i], fontsize=8, pad=2, color="#808080")  # on any page
    return _closed(figure)


def curves(
    runs: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
    *,
    y: str = "test_error",
    x: str = "epoch",
    label: str = "test error (fraction wrong)",
    log: bool = False,
    reference: tuple[float, str] | None = None,
) -> Figure:
    """Mean over seeds as a line with markers, every seed as a thin line behind it.

    Args:
        runs: name of an arm -> one history (list of rows) per seed.
        y: key of the rows to draw.
        x: key of the rows along the horizontal axis.
        label: text of the vertical axis, with its unit.
        log: logarithmic vertical axis.
        reference: a horizontal line: (height, name).

    Raises:
        ValueError: nothing to draw, or the histories of an arm differ in length.
    """
    if not runs:
        raise ValueError("curves needs at least one arm")
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    styles = zip(cycle(COLOURS), cycle(DASHES), cycle(MARKERS), strict=False)
    for (name, histories), (colour, dash, marker) in zip(runs.items(), styles, strict=False):
        if len({len(h) for h in histories}) != 1:
            raise ValueError(f"the histories of {name!r} differ in length")
        ticks = [row[x] for row in histories[0]]
        values = torch.tensor([[row[y] for row in h] for h in histories], dtype=torch.float64)
        for one in values:
            axis.plot(ticks, one.numpy(), color=colour, linestyle=dash, linewidth=0.7, alpha=0.5)
        mean = values.mean(0).numpy()
        axis.plot(ticks, mean, color=colour, linestyle=dash, marker=marker, label=name)
    if reference is not None:
        axis.axhline(reference[0], color="black", linewidth=1, linestyle=(0, (1, 2)))
        axis.text(1.0, reference[0], reference[1], transform=axis.get_yaxis_transform(),
                  ha="right", va="bottom", fontsize=8)  # fmt: skip
    axis.set(xlabel=x, ylabel=label, yscale="log" if log else "linear")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()
    return _closed(figure)


def learning(rows: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Loss and error over the epochs of one training, on training and test images.

    Args:
        rows: of a ``cnnlib.train.History``; those of the test may be missing.
        title: above the two charts.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("learning needs at least one finished epoch")
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4))
    epochs = [row["epoch"] for row in rows]
    words = {"loss": "mean loss", "error": "error (fraction wrong)"}
    styles = list(zip(COLOURS, DASHES, MARKERS, strict=True))
    for axis, (quantity, label) in zip(axes, words.items(), strict=True):
        for split, (colour, dash, marker) in zip(("train", "test"), styles, strict=False):
            if f"{split}_{quantity}" in rows[0]:
                values = [row[f"{split}_{quantity}"] for row in rows]
                every = max(1, len(rows) // 15)  # a marker on each of 300 epochs would hide them
                axis.plot(
                    epochs, values, color=colour, linestyle=dash, marker=marker, markevery=every,
                    label={"train": "training, while it goes on", "test": "test"}[split],
                )  # fmt: skip
        axis.set(xlabel="epoch", ylabel=label)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend()
    figure.suptitle(title)
    return _closed(figure)


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
    return _closed(figure)


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
    return _closed(figure)


_LABEL_PLACES = {  # where a name stands beside its dot, in points, so that no two overlap
    "zfnet": (11, -3, "left"),
    "vgg": (12, -3, "left"),
    "resnet": (12, -3, "left"),
    "preact_resnet": (-9, 3, "right"),
    "densenet": (0, 12, "center"),
    "senet": (12, -3, "left"),
    "squeezenet": (0, -19, "center"),
    "mobilenet": (0, -18, "center"),
    "nasnet": (12, -3, "left"),
}


def networks(highlight: str | None = None) -> Figure:
    """The book's running plot: parameters of each chapter's network against its year.

    The area of a dot grows with the logarithm of its MACs. Networks up to ``highlight`` are filled.

    Args:
        highlight: key of a paper that a chapter is about; ``None`` fills all.

    Raises:
        ValueError: unknown paper, or one of those that share a chapter with another.
    """
    shown = papers.by_chapter()
    last = len(shown) if highlight is None else 0
    if highlight is not None:
        chapter = papers.paper(highlight).chapter
        if highlight not in shown:
            main = next(key for key, paper in shown.items() if paper.chapter == chapter)
            raise ValueError(f"{highlight!r} has no dot of its own; its chapter is about {main!r}")
        last = list(shown).index(highlight) + 1
    figure, (early, late) = plt.subplots(  # the axis of years is cut: nothing between 1999 and 2011
        1, 2, figsize=(7.6, 4.2), sharey=True, gridspec_kw={"width_ratios": [1, 7]}
    )
    for i, (key, paper) in enumerate(shown.items()):
        network, axis = paper.network, early if paper.year < 2005 else late
        area = 14 * max(1.0, math.log10(network.macs / 1e5)) ** 1.6
        axis.scatter(
            [paper.year], [network.parameters], s=area, linewidths=1.2, zorder=3,
            edgecolors=COLOURS[0], facecolors=COLOURS[0] if i < last else "white",
        )  # fmt: skip
        dx, dy, align = _LABEL_PLACES.get(key, (0, -17, "center"))
        axis.annotate(
            network.name, (paper.year, network.parameters), xytext=(dx, dy),
            textcoords="offset points", ha=align, fontsize=8.5,
            fontweight="bold" if key == highlight else "normal",
        )  # fmt: skip
    early.set(yscale="log", ylabel="parameters", xlim=(1997, 1999), ylim=(2e4, 4e8), xticks=[1998])
    late.set(xlabel="year of publication", xlim=(2011.3, 2020.2), xticks=range(2012, 2020))
    late.tick_params(which="both", left=False)
    late.spines["left"].set_visible(False)
    return _closed(figure)
