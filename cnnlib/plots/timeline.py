"""Pictures over the years: the book's networks, and the contest in which most of them competed."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from cnnlib import papers
from cnnlib.papers import ilsvrc as contest
from cnnlib.plots.style import COLOURS, closed

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
    return closed(figure)


_BAR_NAMES = {  # what stands under a year, beside the team
    "hand-made features, support vector machine": "hand-made\nfeatures",
    "hand-made features (Fisher vectors), linear classifiers": "hand-made\nfeatures",
    "networks not published": "networks",
    "Inception, ResNet and others": "Inception,\nResNet, …",
}


def ilsvrc() -> Figure:
    """The winners of the ImageNet contest by year: top-5 error on the images of the test set.

    A solid bar is an entry of convolutional networks, a hatched one an entry without. Where the
    winner had a second entry, trained on more images, a line across its bar shows how far that one
    got. The dashed line is the person of whom one reads that networks are better than humans.
    """
    winners, more = contest.winners(), contest.winners(extra_data=True)
    human = contest.ANNOTATORS["A1"]
    figure, axis = plt.subplots(figsize=(7.6, 4.2))
    for year, entry in winners.items():
        axis.bar(
            [year], [entry.error], width=0.62, linewidth=1.2, zorder=2, edgecolor=COLOURS[0],
            facecolor=COLOURS[0] if entry.convolutional else "white",
            hatch=None if entry.convolutional else "////",
        )  # fmt: skip
        inside = entry.error < human.error  # above the bar the number would meet the dashed line
        axis.annotate(
            f"{entry.error:.1f}", (year, entry.error), xytext=(0, -3 if inside else 3),
            textcoords="offset points", ha="center", va="top" if inside else "bottom",
            fontweight="bold", color="white" if inside else "black",
        )  # fmt: skip
        if more[year].extra_data:
            height = more[year].error
            axis.plot([year - 0.31, year + 0.31], [height, height], color="white", lw=1.6, ls="-")
            axis.annotate(
                f"{height:.1f} with more\ntraining images", (year + 0.31, height), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=7.5,
            )  # fmt: skip
    axis.axhline(human.error, color="black", linewidth=1.2, linestyle="--", zorder=3)
    axis.annotate(
        f"one trained person, {human.images:,} images: {human.error}", (2017.55, human.error),
        xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
    )  # fmt: skip
    names = [
        f"{year}\n{entry.team}\n{_BAR_NAMES.get(entry.method, entry.method)}"
        if entry.method != entry.team
        else f"{year}\n{entry.team}"
        for year, entry in winners.items()
    ]
    axis.set_xticks(list(winners), names, fontsize=7.5)
    axis.set(ylabel="top-5 error on the test images (%)", xlim=(2009.5, 2017.6), ylim=(0, 31))
    axis.grid(axis="x", visible=False)
    axis.tick_params(axis="x", length=0)
    return closed(figure)
