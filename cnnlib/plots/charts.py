"""Charts of numbers: trainings, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnnlib.plots.style import COLOURS, DASHES, MARKERS, closed


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
    return closed(figure)


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
    return closed(figure)
