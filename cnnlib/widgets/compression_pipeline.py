"""How small a file becomes, and at what error: Deep Compression at every setting that was run."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any, ClassVar

import traitlets

from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

PARTS = ("values", "gaps", "codebooks", "tables", "rest", "header")  # of ``compress.Size``
UNSHARED = 32  # bits of a weight that is stored as it is


class CompressionPipeline(Widget):
    """Two sliders, pruning and bits, and what stored runs measured there.

    Bars show the bytes of the network's file after every stage; below, the error on test images at
    every setting is drawn against the size, the chosen one brought out.

    Args:
        networks: each with ``name``, ``dense`` (bytes of the file before anything is done),
            ``errors`` (a number per seed, likewise) and ``levels``, from much kept to little. A
            level has ``level`` (share of weights that the largest layers keep), ``kept`` (share of
            all), ``cut`` and ``errors`` (per seed, before and after retraining), ``sparse`` (bytes)
            and ``cells``: for numbers of ``bits``, ascending and the same everywhere, ``errors``,
            ``plain`` (bytes with codes of fixed length) and ``parts`` (bytes with Huffman's
            coding: values, gaps, codebooks, tables, rest, header).
        network: the name of the one to begin with; default: the first.
        level: which of its levels to begin with, from 0; default: the middle one.
        bits: to begin with, or 32 for weights that are not shared; default: 5 or the next.
        labels: words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: no network, an unknown one, or a setting that was not run.
    """

    LABELS: ClassVar[dict[str, str]] = chart.LABELS | {
        "name": "How small does the file become?",
        "network": "Network",
        "level": "Weights kept in the large layers",
        "bits": "Bits of a weight",
        "percent": "{number} %",
        "bits_shared": "{bits}, shared",
        "bits_own": "32, not shared",
        "stages": "Bytes of the file",
        "stage_dense": "as trained",
        "stage_sparse": "pruned",
        "stage_plain": "weights shared",
        "stage_huffman": "Huffman-coded",
        "not_done": "not done",
        "factor": "{number} ×",
        "legend": "Dark: the weights. Hatched: where they are. Pale: all the rest.",
        "errors": "Errors on 2,000 test images",
        "error_dense": "as trained",
        "error_cut": "pruned, not retrained",
        "error_retrained": "pruned and retrained",
        "error_final": "at the end",
        "mean_sd": "{mean} ± {sd} %",
        "kept": "{percent} % of all weights are left.",
        "curve": "Every setting: size against error",
        "axis_size": "Bytes of the file, logarithmic",
        "axis_error": "Test error",
        "before": "as trained",
        "here": "your choice",
        "parts": "What the bytes are for",
        "part_values": "weights",
        "part_gaps": "their places",
        "part_codebooks": "shared values",
        "part_tables": "lengths of the code words",
        "part_rest": "biases, batch normalisation",
        "part_header": "names, shapes, checksum",
        "spoken": "{bytes} bytes, {factor} times smaller, test error {error}.",
        "fallback": "With a script, two sliders choose the setting. All that were run, {network}:",
        "fallback_seeds": "Test error in %, mean of {seeds} runs, and bytes of the file.",
    }
    _source = Path(__file__)

    networks = traitlets.List(help="what was measured").tag(sync=True)
    network = traitlets.Int(0, help="number of the network").tag(sync=True)
    level = traitlets.Int(0, help="number of the pruning").tag(sync=True)
    bits = traitlets.Int(5).tag(sync=True)

    def __init__(
        self,
        networks: Sequence[Mapping[str, Any]],
        *,
        network: str | None = None,
        level: int | None = None,
        bits: int | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        if not networks:
            raise ValueError("a pipeline needs at least one network")
        listed = [_checked(record) for record in networks]
        names = [record["name"] for record in listed]
        if network is not None and network not in names:
            raise ValueError(f"no network {network!r}; there are {', '.join(names)}")
        number = 0 if network is None else names.index(network)
        levels = listed[number]["levels"]
        steps = _bits(listed[number])
        super().__init__(
            networks=listed,
            network=number,
            level=len(levels) // 2 if level is None else level,
            bits=min(b for b in steps if b >= min(5, max(steps))) if bits is None else bits,
            labels=labels,
        )

    @classmethod
    def of_runs(cls, runs: Any, **options: Any) -> "CompressionPipeline":
        """All arms of ``cnnlib.book.stored_runs("deep_compression")``."""
        return cls([_record(arm) for arm in runs.arms], **options)

    @traitlets.validate("network")
    def _check_network(self, proposal: Any) -> int:
        return _within("network", proposal["value"], len(self.networks))

    @traitlets.validate("level")
    def _check_level(self, proposal: Any) -> int:
        levels = self.networks[self.network]["levels"] if self.networks else []
        return _within("level", proposal["value"], len(levels))

    @traitlets.validate("bits")
    def _check_bits(self, proposal: Any) -> int:
        known = [*_bits(self.networks[self.network]), UNSHARED] if self.networks else []
        if proposal["value"] not in known:
            raise ValueError(f"bits must be one of {known}, got {proposal['value']}")
        return proposal["value"]

    def chosen(self) -> dict[str, Any]:
        """What was measured at the present setting: ``bytes``, ``errors`` (per seed)."""
        level = self.networks[self.network]["levels"][self.level]
        if self.bits == UNSHARED:
            return {"bytes": level["sparse"], "errors": level["errors"]}
        [cell] = [cell for cell in level["cells"] if cell["bits"] == self.bits]
        return {"bytes": sum(cell["parts"]), "errors": cell["errors"]}

    def __repr__(self) -> str:
        record = self.networks[self.network]
        level = record["levels"][self.level]["level"]
        return f"CompressionPipeline({record['name']}: keep {level:g}, {self.bits} bits)"

    def fallback_html(self) -> str:
        """All settings of all networks as tables."""
        tables = []
        for record in self.networks:
            steps = [*_bits(record), UNSHARED]
            heads = "".join(f'<th scope="col">{bits}</th>' for bits in steps)
            rows = ""
            for level in record["levels"]:
                cells = [*level["cells"], {"errors": level["errors"], "parts": [level["sparse"]]}]
                rows += f'<tr><th scope="row">{100 * level["level"]:g} %</th>' + "".join(
                    '<td style="padding: 0.2em 0.6em; text-align: right">'
                    f"{_percent(cell['errors'])}<br>{sum(cell['parts']):,}</td>"
                    for cell in cells
                )
                rows += "</tr>"
            about = self.labels["fallback"].format(network=record["name"])
            seeds = self.labels["fallback_seeds"].format(seeds=len(record["errors"]))
            corner = f"{self.labels['level']} / {self.labels['bits']}"
            tables.append(
                f"<p>{escape(about)} {escape(seeds)}</p>"
                f'<div style="overflow-x: auto"><table><thead><tr><td>{escape(corner)}</td>{heads}'
                f"</tr></thead><tbody>{rows}</tbody></table></div>"
            )
        name = escape(self.labels["name"])
        return f'<div role="group" aria-label="{name}">{"".join(tables)}</div>'


def _record(arm: Any) -> dict[str, Any]:
    """What the widget shows of an arm: errors of every run, bytes as means over the runs."""
    runs = arm.runs
    levels = []
    for i, first in enumerate(runs[0]["prunings"]):
        here = [run["prunings"][i] for run in runs]
        cells = []
        for j, cell in enumerate(first["shared"]):
            same = [pruning["shared"][j] for pruning in here]
            cells.append(
                {
                    "bits": cell["bits"],
                    "errors": [one["test_error"] for one in same],
                    "plain": round(mean(one["plain"] for one in same)),
                    "parts": [round(mean(one["size"][part] for one in same)) for part in PARTS],
                }
            )
        weights = first["kept"] / _weights(runs[0])
        levels.append(
            {
                "level": first["level"],
                "kept": round(weights, 4),
                "cut": [pruning["cut_error"] for pruning in here],
                "errors": [pruning["test_error"] for pruning in here],
                "sparse": round(mean(pruning["sparse"] for pruning in here)),
                "cells": cells,
            }
        )
    return {
        "name": arm.name,
        "dense": runs[0]["dense"],
        "errors": arm.values("test_error"),
        "levels": levels,
    }


def _weights(run: Mapping[str, Any]) -> int:
    """All weights of the network: those of the level at which none is pruned."""
    return max(pruning["kept"] for pruning in run["prunings"])


def _bits(record: Mapping[str, Any]) -> list[int]:
    return [cell["bits"] for cell in record["levels"][0]["cells"]]


def _checked(record: Mapping[str, Any]) -> dict[str, Any]:
    if not record["levels"]:
        raise ValueError(f"network {record['name']!r} has no level of pruning")
    steps = _bits(record)
    for level in record["levels"]:
        bits = [cell["bits"] for cell in level["cells"]]
        if not bits or bits != steps or bits != sorted(set(bits)):
            raise ValueError(
                f"every level of {record['name']!r} needs cells for the same bits, ascending; got "
                f"{bits} where others have {steps}"
            )
        if any(len(cell["parts"]) != len(PARTS) for cell in level["cells"]):
            raise ValueError(f"parts of a cell must be {len(PARTS)} numbers: {', '.join(PARTS)}")
    return dict(record)


def _within(name: str, value: int, count: int) -> int:
    if not 0 <= value < count:
        raise ValueError(f"{name} must be 0 to {count - 1}, got {value}")
    return value


def _percent(errors: Sequence[float]) -> str:
    spread = f" ± {100 * stdev(errors):.1f}" if len(errors) > 1 else ""
    return f"{100 * mean(errors):.1f}{spread}"
