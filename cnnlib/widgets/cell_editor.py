"""Wire a small cell, see how good it is, and follow where a search went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from math import floor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar

import traitlets

from cnnlib.widgets.base import Widget

# Those of cnnlib.search.space. The widget shows figures and searches nothing, so it imports none
# of that; a test compares.
EDGES = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3))
LETTERS = "-icp"
NAMES = ("none", "identity", "conv", "avg")  # of the operations, in the keys of the labels

SEARCHES = ("random", "evolution", "reinforce")
_CODE = re.compile(f"[{LETTERS}]{{{len(EDGES)}}}")
_PLACES = ((30, 100), (180, 30), (180, 170), (330, 100))  # of the nodes in the drawing


class CellEditor(Widget):
    """A cell of the tabulated space: five edges to fill, and what the table says of the result.

    The reader chooses an operation for every edge, by lists or by tapping the drawing. Shown are
    validation accuracy, rank, size and what the cell computes; a map of all cells shows where it
    lies, and, for each stored search, which cells were tried and in which order.

    Args:
        table: how good every cell is, the best first: a ``cnnlib.search.Table``.
        traces: searches to follow, each a ``cnnlib.search.Trace``, by name: ``"random"``,
            ``"evolution"``, ``"reinforce"``.
        cell: the one to begin with, as five letters.
        max_parameters: what the check box limits the map to; None for no check box.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: an unknown search or code, an empty trace, or a limit that leaves no cell.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Wire a cell and see how good it is",
        "edges": "Operations",
        "edge": "Edge {from} → {to}",
        "operation_none": "none",
        "operation_identity": "identity",
        "operation_conv": "conv 3 × 3",
        "operation_avg": "avg 3 × 3",
        "in": "in",
        "out": "out",
        "drawing": "The cell: {edges}. It computes {expression}.",
        "accuracy": "Validation accuracy",
        "accuracy_value": "{mean} ± {sd} %",
        "runs": "mean of {seeds} seeds: {accuracies}",
        "rank": "Rank",
        "rank_value": "{rank} of {cells}",
        "size": "Size",
        "size_value": "{parameters} parameters",
        "convolutions": "{number} convolutions at work, {macs} MACs",
        "computes": "Computes",
        "nothing": "0: nothing gets through",
        "encodings": "{number} of the {all} encodings are this cell",
        "random": "Random cell",
        "climb": "Best single change",
        "top": "No change of one edge makes it better.",
        "by_rank": "Walk by rank",
        "rank_of": "rank {rank}",
        "show": "Show a search",
        "show_none": "none",
        "show_random": "random search",
        "show_evolution": "regularised evolution",
        "show_reinforce": "REINFORCE",
        "evaluations": "Evaluations",
        "step": (
            "Evaluation {number} of {all}: cell {code}, seen {seen} %, mean of its seeds {mean} %. "
            "Best so far: {best}, seen {best_seen} %, mean {best_mean} %, rank {rank}."
        ),
        "legend": "tried · ring: best so far · cross: the cell above",
        "legend_cell": "cross: the cell above",
        "cap": "Only up to {parameters} parameters",
        "map": "All {cells} cells: accuracy by number of convolutions. {about}",
        "map_plain": "Tap a dot to load its cell.",
        "x_axis": "convolutions at work",
        "y_axis": "validation accuracy, %",
        "spoken": "Cell {code}: {mean} %, rank {rank} of {cells}.",
        "fallback": (
            "With a script, every edge can be changed: open the page of the book, or run this "
            "notebook."
        ),
        "best": "The best cells of the table",
        "tried": "{name}: best of {number} evaluations is {code}, rank {rank}",
    }
    _source = Path(__file__)

    code = traitlets.Unicode("cic-i", help="five letters, one for each edge").tag(sync=True)
    search = traitlets.Unicode("", help="the search that is shown, or none").tag(sync=True)
    evaluations = traitlets.Int(1, help="of the search, up to where it is shown").tag(sync=True)
    capped = traitlets.Bool(False).tag(sync=True)
    rows = traitlets.List(read_only=True).tag(sync=True)
    encodings = traitlets.List(read_only=True).tag(sync=True)
    searches = traitlets.List(read_only=True).tag(sync=True)
    max_parameters = traitlets.Int(0, read_only=True, help="0 for no limit").tag(sync=True)

    def __init__(
        self,
        table: Iterable[Any],
        traces: Mapping[str, Any] | None = None,
        *,
        cell: str = "cic-i",
        max_parameters: int | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        traces = traces or {}
        if unknown := sorted(set(traces) - set(SEARCHES)):
            raise ValueError(f"no search {unknown[0]!r}; there are {', '.join(SEARCHES)}")
        if empty := sorted(name for name, trace in traces.items() if not len(trace)):
            raise ValueError(f"the trace of {empty[0]} is empty: nothing was evaluated")
        listed = list(table)
        least = min(row.parameters for row in listed)
        if max_parameters is not None and max_parameters < least:
            raise ValueError(f"max_parameters must be at least {least:,}; got {max_parameters:,}")
        places = {
            _number(encoding.code): place
            for place, row in enumerate(listed)
            for encoding in row.cell.encodings()
        }
        super().__init__(code=cell, labels=labels)
        for name, value in (
            ("rows", [_listed(row) for row in listed]),
            ("encodings", [places[number] for number in range(len(places))]),
            ("max_parameters", max_parameters or 0),
            ("searches", [[name, _steps(traces[name])] for name in SEARCHES if name in traces]),
        ):
            self.set_trait(name, value)

    @traitlets.validate("code")
    def _check_code(self, proposal: Any) -> str:
        if not _CODE.fullmatch(code := proposal["value"]):
            raise ValueError(
                f"a cell has {len(EDGES)} letters out of {LETTERS!r}, such as 'cic-i'; got {code!r}"
            )
        return code

    @traitlets.validate("search")
    def _check_search(self, proposal: Any) -> str:
        if (name := proposal["value"]) not in ("", *(known for known, _ in self.searches)):
            raise ValueError(f"the search {name!r} is not there")
        return name

    def row(self) -> list[Any]:
        """What the table says of the cell, as ``rows`` has it."""
        return self.rows[self.encodings[_number(self.code)]]

    def rank(self) -> int:
        """The rank of the cell, 1 for the best."""
        return self.encodings[_number(self.code)] + 1

    def __repr__(self) -> str:
        return f"CellEditor({self.code}: rank {self.rank()} of {len(self.rows)} cells)"

    def fallback_html(self) -> str:
        """The cell as a drawing, its figures, the best of the table and what the searches found."""
        text = self.labels
        _, expression, parameters, _, _, _, accuracies = self.row()
        lines = [
            (text["accuracy"], text["accuracy_value"].format(**_percent(accuracies))),
            (text["rank"], text["rank_value"].format(rank=self.rank(), cells=len(self.rows))),
            (text["size"], text["size_value"].format(parameters=f"{parameters:,}")),
            (text["computes"], expression if expression != "0" else text["nothing"]),
        ]
        facts = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in lines)
        best = ""
        for rank, row in enumerate(self.rows[:5], start=1):
            shown = text["accuracy_value"].format(**_percent(row[6]))
            best += f'<tr><td>{rank}</td><th scope="row"><code>{row[0]}</code></th>'
            for value in (shown, f"{row[2]:,}"):
                best += f'<td style="padding-left: 1em">{escape(value)}</td>'
            best += "</tr>"
        found = []
        for name, steps in self.searches:
            winner, _ = max(steps, key=lambda step: step[1])
            rank = self.encodings[_number(winner)] + 1
            told = {"name": text[f"show_{name}"], "number": len(steps), "code": winner}
            found.append(f"<li>{escape(text['tried'].format(rank=rank, **told))}</li>")
        return (
            f'<div role="group" aria-label="{escape(text["name"])}">{self._drawing()}'
            f"<ul>{facts}</ul><p>{escape(text['best'])}</p><table>{best}</table>"
            f"<ul>{''.join(found)}</ul><p>{escape(text['fallback'])}</p></div>"
        )

    def _drawing(self) -> str:
        """The cell as a small SVG that stands still."""
        text = self.labels
        lines, names = "", []
        for (source, target), letter in zip(EDGES, self.code, strict=True):
            if letter == "-":
                continue
            (x1, y1), (x2, y2) = _PLACES[source], _PLACES[target]
            name = NAMES[LETTERS.index(letter)]
            names.append(f"{source} → {target} {text[f'operation_{name}']}")
            lines += (
                f'<path d="M{x1} {y1}L{x2} {y2}" stroke="#888" stroke-width="2"/>'
                f'<text x="{(x1 + x2) / 2}" y="{(y1 + y2) / 2}" text-anchor="middle" '
                f'font-size="13" fill="currentColor">'
                f"{escape(text[f'operation_{name}'])}</text>"
            )
        nodes = "".join(f'<circle cx="{x}" cy="{y}" r="14" fill="#888"/>' for x, y in _PLACES)
        told = {"edges": ", ".join(names) or text["operation_none"], "expression": self.row()[1]}
        label = escape(text["drawing"].format(**told))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 200" role="img" '
            f'aria-label="{label}" style="max-width: 360px; width: 100%">{lines}{nodes}</svg>'
        )


def _number(code: str) -> int:
    """A code as a number from 0 to 1023: its letters as digits, the first edge's first."""
    number = 0
    for letter in code:
        number = len(LETTERS) * number + LETTERS.index(letter)
    return number


def _listed(row: Any) -> list[Any]:
    """A row of the table, as the script takes it."""
    cell = row.cell
    counts = [row.parameters, row.macs, row.encodings, cell.convolutions]
    return [cell.code, cell.expression, *counts, list(row.accuracies)]


def _steps(trace: Any) -> list[list[Any]]:
    """What a search tried and saw, in order."""
    return [[step.cell.code, step.accuracy] for step in trace.steps]


def _percent(accuracies: list[float]) -> dict[str, str]:
    """Mean and standard deviation in percent, as the script writes them."""
    spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
    return {"mean": percent(fmean(accuracies)), "sd": percent(spread)}


def percent(fraction: float) -> str:
    """0.66249 as "66.2"; a half is rounded up, as JavaScript does."""
    return f"{floor(1000 * fraction + 0.5) / 10:.1f}"
