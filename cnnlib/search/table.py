"""The table: how good every cell of the small space is, measured once and stored.

With a table a search takes milliseconds, so that strategies can be compared over hundreds of
repeats, by everybody, on equal terms. That idea is of C. Ying et al., "NAS-Bench-101: Towards
Reproducible Neural Architecture Search", ICML 2019, arXiv:1902.09635 (423,624 cells), and X. Dong,
Y. Yang, "NAS-Bench-201", ICLR 2020, arXiv:2001.00326 (15,625 encodings). Ours has 291 cells and is
computed by ``experiments/cell_space.py``; protocol, seeds and versions are in the file.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from .proxy import Measured
from .space import SPACE, CellSpace, SmallCell


@dataclass(frozen=True)
class Row:
    """What the table knows of a cell.

    Args:
        cell: its canonical encoding.
        encodings: how many encodings it has.
        parameters: of its network.
        macs: multiply-adds of its network for one image of 14 x 14 pixels.
        accuracies: on the validation images, one for each seed.
        losses: mean cross-entropy on the validation images, one for each seed.
        seconds: of the CPU for training and validating, one for each seed.
    """

    cell: SmallCell
    encodings: int
    parameters: int
    macs: int
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    seconds: tuple[float, ...]

    @cached_property
    def accuracy(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.accuracies)

    @property
    def sd(self) -> float:
        """The standard deviation over the seeds."""
        return statistics.stdev(self.accuracies)


class Table:
    """All cells, from the best to the worst by mean validation accuracy.

    It is an objective for `run` as well: ``table(cell, seed)`` is one stored run, which the seed
    picks, so that a search on the table meets the same noise as a search by live trainings;
    ``table.mean`` is an objective without noise.

    Args:
        record: what the file holds.

    Raises:
        ValueError: not such a record, or a cell of the space is missing or there twice.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        try:
            self.about: dict[str, str] = record["about"]
            self.versions: dict[str, str] = record["versions"]
            self.seeds: tuple[int, ...] = tuple(record["seeds"])
            self.protocol: dict[str, Any] = record["settings"]
            self.exact: dict[str, Measured] = {
                row["cell"]: Measured(row["accuracy"], row["loss"], row["seconds"])
                for row in record["exact"]
            }
            rows = [
                Row(
                    SmallCell.from_code(row["cell"]),
                    *(row[key] for key in ("encodings", "parameters", "macs")),
                    *(tuple(row[key]) for key in ("accuracy", "loss", "seconds")),
                )
                for row in record["cells"]
            ]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a table of cells: {error!r}") from error
        rows.sort(key=lambda row: (-row.accuracy, row.parameters, row.cell.code))
        self._rows = {row.cell: row for row in rows}
        if len(rows) != len(self._rows) or set(self._rows) != set(SPACE.cells()):
            raise ValueError(
                f"a table has each of the {len(SPACE.cells())} cells once; this one has "
                f"{len(rows)} rows of {len(self._rows)} cells"
            )
        self._ranks = {cell: rank for rank, cell in enumerate(self._rows, start=1)}
        held = json.dumps([[row.cell.code, row.accuracies] for row in rows])
        self._digest = hashlib.sha256(held.encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __getitem__(self, cell: SmallCell | str) -> Row:
        """The row of a cell, by any of its encodings or their codes."""
        cell = SmallCell.from_code(cell) if isinstance(cell, str) else cell
        return self._rows[cell.canonical]

    def rank(self, cell: SmallCell | str) -> int:
        """The place of a cell by mean accuracy, 1 for the best of all."""
        return self._ranks[self[cell].cell]

    def best(self, space: CellSpace = SPACE) -> Row:
        """The best cell of a space."""
        return next(row for row in self if row.cell in space)

    def __call__(self, cell: SmallCell, seed: int) -> float:
        """The accuracy in one of the stored runs."""
        accuracies = self[cell].accuracies
        return accuracies[seed % len(accuracies)]

    def mean(self, cell: SmallCell, seed: int = 0) -> float:
        """The mean accuracy, whatever the seed."""
        return self[cell].accuracy

    def settings(self) -> dict[str, Any]:
        """What decides the figures: several processes must agree on it."""
        return {"objective": "table", "table": self._digest}


def load_table(path: str | Path | None = None) -> Table:
    """The table of the package; or one in a file, as ``experiments/cell_space.py`` writes it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not hold a table.
    """
    return _packaged() if path is None else Table(json.loads(Path(path).read_text("utf-8")))


@cache
def _packaged() -> Table:
    file = resources.files("cnnlib") / "assets" / "cells.json"
    return Table(json.loads(file.read_text("utf-8")))
