"""Colours, dashes and defaults that all plots of the book share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.figure import Figure

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


def closed(figure: Figure) -> Figure:
    """The figure, closed: as the last line of a cell it then shows itself once."""
    plt.close(figure)  # else the notebook shows it a second time
    return figure
