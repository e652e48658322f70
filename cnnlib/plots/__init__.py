"""Plots and drawings of the book, readable in light and dark, in print and without colour.

Every function returns a closed ``matplotlib.figure.Figure``: as the last line of a notebook cell it
shows itself once. Lines differ in dash and marker as well as in colour. Charts have a white
background; the site inverts them in dark mode (cell tag ``dark-invert``). Sheets of images are
transparent (cell tag ``transparent``).
"""

from cnnlib.plots.cells import cell
from cnnlib.plots.census import landscape, presence, spreads
from cnnlib.plots.charts import curves, learning
from cnnlib.plots.diagram import diagram
from cnnlib.plots.drawings import architecture, links
from cnnlib.plots.pictures import images
from cnnlib.plots.reuse import reuse
from cnnlib.plots.scatter import scatter
from cnnlib.plots.style import COLOURS, DASHES, MARKERS, book_style, closed, use_book_style
from cnnlib.plots.timeline import ilsvrc, networks
from cnnlib.plots.towers import towers
from cnnlib.plots.trade import planes, roofline, tradeoff

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "architecture",
    "book_style",
    "cell",
    "closed",
    "curves",
    "diagram",
    "ilsvrc",
    "images",
    "landscape",
    "learning",
    "links",
    "networks",
    "scatter",
    "reuse",
    "planes",
    "roofline",
    "presence",
    "spreads",
    "towers",
    "tradeoff",
    "use_book_style",
]
