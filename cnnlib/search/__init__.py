"""Searching for a cell: the space, how a cell is judged, and strategies that choose the next.

A search for an architecture has three parts (T. Elsken, J. H. Metzen, F. Hutter, JMLR 2019):

=====================  ========================================================================
search space           ``SPACE``, ``CellSpace``, ``SmallCell``: 291 cells of four nodes
performance estimate   ``Proxy``, a short training; ``load_table``, all cells measured before
search strategy        ``RandomSearch``, ``RegularizedEvolution``, ``Reinforce``
=====================  ========================================================================

``run`` puts them together and leaves a ``Trace``, ``repeat`` does so hundreds of times on the
table, and ``work`` lets several processes or machines share one search.
"""

from .network import CellNetwork, WiredCell, build
from .proxy import RECIPE, Measured, Proxy
from .running import Step, Trace, mean_best, repeat, run
from .shared import trace, work
from .space import (
    EDGES,
    LETTERS,
    NODES,
    OPERATIONS,
    SPACE,
    WIDTHS,
    CellSpace,
    SmallCell,
    count_parameters,
)
from .strategies import STRATEGIES, RandomSearch, RegularizedEvolution, Reinforce, Strategy
from .table import Row, Table, load_table

__all__ = [
    "EDGES",
    "LETTERS",
    "NODES",
    "OPERATIONS",
    "RECIPE",
    "SPACE",
    "STRATEGIES",
    "WIDTHS",
    "CellNetwork",
    "CellSpace",
    "Measured",
    "Proxy",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "Row",
    "SmallCell",
    "Step",
    "Strategy",
    "Table",
    "Trace",
    "WiredCell",
    "build",
    "count_parameters",
    "load_table",
    "mean_best",
    "repeat",
    "run",
    "trace",
    "work",
]
