"""What was published of every network in ``cnnlib.list_models()``: counts, sizes, errors.

The figures are in ``assets/published.json``, typed once; ``cnnlib.papers`` and ``cnnlib.verify``
read them from here. Exact counts are given where several independent implementations agree on
them. What a paper prints is kept as it is printed, and ``parse`` turns it into numbers: the paper's
authors rounded, or cut off.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Published:
    """One network as published.

    Attributes:
        name: in ``cnnlib.list_models()``.
        paper: key in ``cnnlib.papers.PAPERS``.
        input: (channels, height, width) of the image that ``macs`` is for, in pixels.
        classes: number of scores.
        training: counts are those of the network in training, with its auxiliary heads.
        parameters: trainable numbers, exactly; None where no independent count is known.
        macs: multiply-adds of convolutions and fully connected layers for one image, exactly.
        printed_parameters: as printed, for instance "4.2M", or "4.8 MB" at four bytes each.
        printed_macs: as printed, for instance "569M" or "3.8e9".
        top1_error: percent wrong.
        top5_error: percent of images whose label is not among the five best guesses.
        protocol: data, crops and number of networks behind the errors.
        source: where the network or its figures are from, if not from the paper.
        differs: why a printed figure ("parameters" or "macs") is not what the network has.
        notes: what is easily got wrong.
    """

    name: str
    paper: str
    input: tuple[int, int, int]
    classes: int
    training: bool = False
    parameters: int | None = None
    macs: int | None = None
    printed_parameters: str | None = None
    printed_macs: str | None = None
    top1_error: float | None = None
    top5_error: float | None = None
    protocol: str | None = None
    source: str | None = None
    differs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Printed(NamedTuple):
    """A figure as it is printed, as a number.

    Attributes:
        value: what is printed.
        unit: worth of one in the last place that is printed: 0.1 million for "4.2M".
    """

    value: float
    unit: float

    def fits(self, count: int) -> bool:
        """Whether the count, rounded or cut off at the last printed place, is what is printed.

        >>> parse("4.2M").fits(4_231_976), parse("4.2M").fits(4_310_000)
        (True, False)
        """
        steps, printed = count / self.unit, round(self.value / self.unit)
        return printed in (round(steps), int(steps))


_UNITS = {
    "": 1,
    "k": 1e3,
    "m": 1e6,
    "million": 1e6,
    "mb": 2**20 / 4,  # the size of a file with four bytes per parameter
    "b": 1e9,
    "billion": 1e9,
    "gflops": 1e9,
    **{f"e{power}": 10.0**power for power in range(3, 12)},
}


def parse(text: str) -> Printed:
    """What a printed figure says: "4.2M", "1.8e9", "60 million", "1,248,424", "4.8 MB (table 1)".

    Raises:
        ValueError: no number, or a unit that is not known.
    """
    match = re.fullmatch(r"([\d,]*\d)(\.\d+)?\s*([a-z]*\d*)(\s*\(.*\))?", text.strip().lower())
    if match is None or match[3] not in _UNITS:
        raise ValueError(
            f'{text!r} is not understood; a figure reads "4.2M", "1.8e9", "60 million" or "4.8 MB"'
        )
    places = len(match[2] or ".") - 1
    worth = _UNITS[match[3]]
    return Printed(float(match[1].replace(",", "") + (match[2] or "")) * worth, worth / 10**places)


@functools.cache
def networks() -> Mapping[str, Published]:
    """All records by name, in the order of the book."""
    path = resources.files("cnnlib") / "assets" / "published.json"
    records: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["networks"]
    return {name: _record(name, fields) for name, fields in records.items()}


def _record(name: str, fields: dict[str, Any]) -> Published:
    lists: dict[str, Any] = {key: tuple(fields.get(key, ())) for key in ("input", "notes")}
    return Published(name=name, **(fields | lists))


def published(name: str) -> Published:
    """The record of a network.

    Args:
        name: as in ``cnnlib.list_models()``.

    Raises:
        ValueError: no such network; the nearest name is given.
    """
    known = networks()
    if name not in known:
        near = difflib.get_close_matches(str(name).lower(), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "cnnlib.list_models() has the names"
        raise ValueError(f"nothing is published of a network {name!r}; {hint}")
    return known[name]
